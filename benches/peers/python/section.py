"""A section of a peer, in its own best use: `section.py PEER SOCKET`.

Says what it is; then, for each number on standard input, runs so many sections and says how many nanoseconds they took.
"""

import sys
import time
import warnings
from importlib import import_module
from importlib.metadata import version

from PyMySQLLock import Locker
from sqlalchemy import create_engine
from sqlalchemy_dlock import create_sadlock

TIMEOUT = 10


def pymysqllock(socket, driver, module):
    """A connection and a thread for each section: it knows no other use. What can be chosen is the driver."""
    connect = import_module(module).connect
    connected = connect(user="root", unix_socket=socket)
    host_info = getattr(connected, "host_info", None) or connected.get_host_info()
    assert "UNIX socket" in host_info, host_info
    locker = Locker(mysql_lib_connector=connect, user="root", unix_socket=socket)

    def section():
        lock = locker.lock("bench:PyMySQLLock")
        assert lock.acquire(timeout=TIMEOUT)
        lock.release()

    return ["PyMySQLLock", driver], section


def sqlalchemy_dlock(socket):
    """A connection that stays, a lock that is made once, and the fastest driver."""
    url = f"mysql+mysqldb://root@/test?unix_socket={socket}"
    connection = create_engine(url, isolation_level="AUTOCOMMIT").connect()
    lock = create_sadlock(connection, "bench:sqlalchemy-dlock", contextual_timeout=TIMEOUT)

    def section():
        with lock:
            pass

    return ["sqlalchemy-dlock", "mysqlclient"], section


PEERS = {
    "PyMySQLLock+mysqlclient": lambda socket: pymysqllock(socket, "mysqlclient", "MySQLdb"),
    "PyMySQLLock+PyMySQL": lambda socket: pymysqllock(socket, "PyMySQL", "pymysql"),
    "sqlalchemy-dlock": sqlalchemy_dlock,
}


def main():
    _, peer, socket = sys.argv
    warnings.simplefilter("ignore")  # PyMySQLLock calls what is deprecated
    packages, section = PEERS[peer](socket)
    print(", ".join(f"{package} {version(package)}" for package in packages), flush=True)
    for line in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(int(line)):
            section()
        print(time.perf_counter_ns() - start, flush=True)


if __name__ == "__main__":
    main()
