import os
import sys
from urllib.parse import urlsplit

from counter import increment
from PyMySQLLock import Locker

name, counter, rounds = sys.argv[1:]
url = urlsplit(os.environ["DATABASE_URL"])
locker = Locker(
    host=url.hostname, port=url.port, user=url.username, password=url.password or "", database=url.path[1:]
)
for _ in range(int(rounds)):
    lock = locker.lock(name)
    if not lock.acquire(timeout=20):
        sys.exit("not granted")
    increment(counter)
    lock.release()
