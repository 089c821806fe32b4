import time


def increment(path):
    with open(path) as file:
        value = int(file.read())
    time.sleep(0.001)
    with open(path, "w") as file:
        file.write(str(value + 1))
