<?php
[, $name, $counter, $rounds] = $argv;
$url = parse_url(getenv('DATABASE_URL'));
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$db = new mysqli($url['host'], $url['user'], $url['pass'] ?? '', ltrim($url['path'], '/'), $url['port']);
$quoted = "'" . $db->real_escape_string($name) . "'";

for ($round = 0; $round < $rounds; $round++) {
    if ($db->query("SELECT GET_LOCK($quoted, 20)")->fetch_row()[0] != 1) {
        fwrite(STDERR, "not granted\n");
        exit(1);
    }
    $value = (int) file_get_contents($counter);
    usleep(1000);
    file_put_contents($counter, $value + 1);
    $db->query("SELECT RELEASE_LOCK($quoted)");
}
