import os
import sys
from urllib.parse import urlsplit

from PyMySQLLock import Locker


def main(name):
    url = urlsplit(os.environ["DATABASE_URL"])
    locker = Locker(
        host=url.hostname,
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.path[1:],
    )
    lock = locker.lock(name)
    if not lock.acquire(timeout=60, refresh_interval_secs=10):
        sys.exit("somebody else holds the lock")
    try:
        critical_task()
    finally:
        lock.release()


def critical_task():
    print("Python begins", flush=True)
    sys.stdin.read()  # Waits for the end of its input.
    print("Python ends", flush=True)


main(sys.argv[1])
