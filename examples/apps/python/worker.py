"""A worker: counts, and stops cleanly on SIGTERM. Start one with `deis scale worker=1`."""

import signal
import threading

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
count = 0
while not stop.wait(5):
    count += 1
    print(f"still at work: {count}", flush=True)
print("stopped", flush=True)
