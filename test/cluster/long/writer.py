#!/usr/bin/python3
"""Writes numbered rows into a cluster that changes its leader, one transaction each, and notes moments between them.

usage: writer.py CONNECTION FILE SECONDS

Every SECONDS a line "time <tab> number" is appended to FILE: the server's clock after the row of that number was
committed and before the next is tried. Numbers only grow: a row whose commit was not acknowledged is not tried again.
Ends when its standard input does.
"""
import select
import sys
import time

import psycopg2


def connect(words):
    while not ended():
        try:
            connection = psycopg2.connect(words, connect_timeout=3)
            connection.autocommit = True
            return connection
        except psycopg2.Error:
            pass
    return None


def ended(pause=0.05):
    return bool(select.select([sys.stdin], [], [], pause)[0])


def main():
    words, path, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
    number, connection, next_moment = 0, None, time.monotonic()
    while not ended(0.01):
        if connection is None:
            connection = connect(words)
            continue
        number += 1
        try:
            cursor = connection.cursor()
            cursor.execute("INSERT INTO numbered (n, filler) VALUES (%s, repeat(md5(%s::text), 20))", (number, number))
            if time.monotonic() < next_moment:
                continue
            cursor.execute("SELECT clock_timestamp()::text")
            moment = cursor.fetchone()[0]
        except psycopg2.Error:
            connection.close()
            connection = None
            continue
        next_moment = time.monotonic() + pause
        with open(path, "a") as file:
            file.write(f"{moment}\t{number}\n")


main()
