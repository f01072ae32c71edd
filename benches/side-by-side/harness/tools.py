"""Programs this needs beside the clone: found, or installed from Debian's packages."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

PACKAGES = {"nginx": "nginx", "haproxy": "haproxy", "h2load": "nghttp2-client", "openssl": "openssl"}
# Debian leaves them out of the path of others than root.
os.environ["PATH"] += os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"


def need(*more):
    """Sees to all programs; `more` names further pairs of program and package."""
    packages = PACKAGES | dict(more)
    missing = sorted({package for program, package in packages.items() if not shutil.which(program)})
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"missing: {' '.join(missing)}; as root on Debian this script installs them itself")
    print(f"installing {' '.join(missing)}", flush=True)
    # Packages of servers would start them.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        apt = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL, "check": True}
        subprocess.run(["apt-get", "update", "-qq"], **apt)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], **apt)
    finally:
        if ours:
            policy.unlink()


def versions(portcullis):
    """What is compared, by name."""
    return {
        "portcullis": first_number([portcullis, "--version"]),
        "nginx": first_number(["nginx", "-v"]),
        "haproxy": first_number(["haproxy", "-v"]),
        "h2load": first_number(["h2load", "--version"]),
        "openssl": first_number(["openssl", "version"]),
    }


def first_number(command):
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+(\.\d+)?", run.stdout + run.stderr)
    return found.group() if found else "?"


def machine():
    """The kind of machine, without anything that names it, and how busy it is now."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    flags = re.search(r"flags\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": bool(flags and "hypervisor" in flags.group(1).split()),
        "memory_gib": round(int(memory.group(1)) / 2**20) if memory else None,
        "kernel": ".".join(platform.release().split(".")[:2]),
        "load_before": round(os.getloadavg()[0], 1),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
    }
