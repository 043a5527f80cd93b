"""Figures that stay after a measurement."""
import json
import os
import time


def keep(name, results, arguments, directory):
    """Writes DIRECTORY/results/NAME-TIME.json: what was measured, when, with which options."""
    folder = directory / "results"
    folder.mkdir()
    report = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpus": os.cpu_count(), "arguments": vars(arguments) | {"directory": ""}, "results": results}
    (folder / time.strftime(f"{name}-%Y%m%dT%H%M%SZ.json", time.gmtime())).write_text(json.dumps(report, indent=2) + "\n")
