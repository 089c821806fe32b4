"""A section of a peer, in its own best use: `section.py PEER SOCKET`.

Says what it is; then, for each number on standard input, runs so many sections and says how many nanoseconds they took.
"""

import sys
import time
import warnings
from importlib.metadata import version

import pymysql
from PyMySQLLock import Locker
from sqlalchemy import create_engine
from sqlalchemy_dlock import create_sadlock

TIMEOUT = 10


def pymysqllock(socket, title, **options):
    """A connection and a thread for each section: it knows no other use. What can be chosen is how to connect."""
    options.update(user="root", unix_socket=socket)
    host = pymysql.connect(**options).host_info
    assert "UNIX socket" in host, host
    locker = Locker(**options)

    def section():
        lock = locker.lock("bench:PyMySQLLock")
        assert lock.acquire(timeout=TIMEOUT)
        lock.release()

    return f"PyMySQLLock {version('PyMySQLLock')}, PyMySQL {version('PyMySQL')}, {title}", section


def sqlalchemy_dlock(socket):
    """A connection that stays, a lock that is made once, and the fastest driver."""
    url = f"mysql+mysqldb://root@/test?unix_socket={socket}"
    connection = create_engine(url, isolation_level="AUTOCOMMIT").connect()
    lock = create_sadlock(connection, "bench:sqlalchemy-dlock", contextual_timeout=TIMEOUT)

    def section():
        with lock:
            pass

    return f"sqlalchemy-dlock {version('sqlalchemy-dlock')}, mysqlclient {version('mysqlclient')}", section


PEERS = {
    "PyMySQLLock": lambda socket: pymysqllock(socket, "no TLS", ssl_disabled=True),
    "PyMySQLLock-as-it-comes": lambda socket: pymysqllock(socket, "as it comes"),
    "sqlalchemy-dlock": sqlalchemy_dlock,
}


def main():
    _, peer, socket = sys.argv
    warnings.simplefilter("ignore")  # PyMySQLLock calls what is deprecated
    title, section = PEERS[peer](socket)
    print(title, flush=True)
    for line in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(int(line)):
            section()
        print(time.perf_counter_ns() - start, flush=True)


if __name__ == "__main__":
    main()
