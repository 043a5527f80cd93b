"""run_patroni.py DIRECTORY CONFIGURATION: runs the Patroni that lies in a directory, without a variable that points to it.

The environment of Patroni is part of what the lab tests.
"""
import pathlib
import sys

# Patroni starts the server from a new interpreter, which reads this file again and is told the path.
if __name__ == "__main__":
    directory, configuration = sys.argv[1:]
    places = [pathlib.Path(directory) / "usr/lib/python3/dist-packages", pathlib.Path(directory)]
    sys.path[:0] = [str(place) for place in places if (place / "patroni").is_dir()]
    sys.argv = ["patroni", configuration]

    from patroni.__main__ import main

    main()
