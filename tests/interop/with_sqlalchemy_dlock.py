import os
import sys

from counter import increment
from sqlalchemy import create_engine
from sqlalchemy_dlock import create_sadlock

name, counter, rounds = sys.argv[1:]
engine = create_engine(os.environ["DATABASE_URL"].replace("mysql://", "mysql+pymysql://"))
with engine.connect() as connection:
    for _ in range(int(rounds)):
        # By default it waits for ever, which it asks for by -1: no lock on MariaDB.
        with create_sadlock(connection, name, contextual_timeout=20):
            increment(counter)
