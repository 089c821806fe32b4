CREATE TABLE orders (
    id INT AUTO_INCREMENT PRIMARY KEY,
    customer INT NOT NULL,
    FOREIGN KEY (customer) REFERENCES customers (id)
);
