"""Measures Portcullis beside nginx and HAProxy on one machine, over loopback."""
