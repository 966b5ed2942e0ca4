"""A browser for a test: browse.py URL WIDTH HEIGHT light|dark PICTURE

Opens the page, then evaluates each line of standard input as JavaScript (a promise is awaited), and prints each value as a
line of JSON; of a line "press KEY" it presses the key on the keyboard instead. At the end of the input it takes a picture, and prints what the page asked for, and what it complained of.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

url, width, height, scheme, picture = sys.argv[1:]
program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
if program is None:
    sys.exit("there is no browser: install chromium-headless-shell")
to_browser, from_us = os.pipe()
to_us, from_browser = os.pipe()


def pipes():
    """The browser reads its orders from descriptor 3, and answers on 4."""
    os.dup2(to_browser, 13)
    os.dup2(from_browser, 14)
    os.dup2(13, 3)
    os.dup2(14, 4)


profile = tempfile.TemporaryDirectory()
browser = subprocess.Popen(
    [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile.name}",
     "--no-first-run", "--disable-background-networking", "--hide-scrollbars", "about:blank"],
    preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
os.close(to_browser)
os.close(from_browser)
answers = os.fdopen(to_us, "rb")
asked, complaints, number, rest = [], [], 0, b""


def read():
    """The next message of the browser."""
    global rest
    while b"\0" not in rest:
        piece = os.read(answers.fileno(), 65536)
        if not piece:
            sys.exit("the browser is gone")
        rest += piece
    message, rest = rest.split(b"\0", 1)
    return json.loads(message)


def order(method, session=None, **parameters):
    """Has the browser do something, and gives its answer. What it tells meanwhile is noted."""
    global number
    number += 1
    message = {"id": number, "method": method, "params": parameters}
    if session:
        message["sessionId"] = session
    os.write(from_us, json.dumps(message).encode() + b"\0")
    while True:
        told = read()
        if told.get("id") == number:
            if "error" in told:
                sys.exit(f"{method}: {told['error']}")
            return told["result"]
        if told.get("method") == "Network.requestWillBeSent":
            asked.append(told["params"]["request"]["url"])
        if told.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
            complaints.append(json.dumps(told["params"]))


# What a keyboard sends for the keys that are no letters: their numbers, and what they write.
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, "")}


def press(page, key):
    """Presses a key and lets it go."""
    number, text = KEYS.get(key, (ord(key[0].upper()), key))
    common = {"key": key, "windowsVirtualKeyCode": number}
    order("Input.dispatchKeyEvent", page, type="keyDown" if text else "rawKeyDown", text=text, **common)
    order("Input.dispatchKeyEvent", page, type="keyUp", **common)


try:
    target = order("Target.createTarget", url="about:blank")["targetId"]
    page = order("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Network", "Log", "Runtime"):
        order(f"{domain}.enable", page)
    order("Emulation.setDeviceMetricsOverride", page, width=int(width), height=int(height), deviceScaleFactor=1,
          mobile=int(width) < 600)
    order("Emulation.setEmulatedMedia", page, features=[{"name": "prefers-color-scheme", "value": scheme}])
    order("Page.navigate", page, url=url)
    for line in sys.stdin:
        if line.startswith("press "):
            press(page, line.split()[1])
            print("null", flush=True)
            continue
        deadline = time.monotonic() + 20
        # The first of them may come before the page is there.
        while True:
            done = order("Runtime.evaluate", page, expression=line, awaitPromise=True, returnByValue=True)
            failed = "exceptionDetails" in done
            if not failed or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        print(json.dumps({"failed": done["exceptionDetails"]} if failed else done["result"].get("value")), flush=True)
    shot = order("Page.captureScreenshot", page, format="png")["data"]
    with open(picture, "wb") as file:
        file.write(base64.b64decode(shot))
    print(json.dumps({"asked": asked, "complaints": complaints}), flush=True)
finally:
    browser.kill()
    browser.wait()
