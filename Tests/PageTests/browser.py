"""A headless Chromium, spoken to in its DevTools protocol over a WebSocket (RFC 6455), with Python's own modules."""

import base64
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time


def find_chromium():
    """The path of a browser, or None."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "chrome"]
    return next((path for path in map(shutil.which, filter(None, names)) if path), None)


class Browser:
    """One page of a browser of its own, which has no network."""

    def __init__(self, program):
        self.folder = tempfile.mkdtemp(prefix="page-test-")
        flags = ["--headless=new", "--remote-debugging-port=0", f"--user-data-dir={self.folder}", "--disable-gpu",
                 "--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
                 # A name or an address that is asked for is found nowhere.
                 "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen([program, *flags, "about:blank"], stdout=self.log, stderr=self.log)
        self.socket = None
        self.events = []
        self.number = 0
        port = self._port()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/json/list")
        page = next(target for target in json.load(connection.getresponse()) if target["type"] == "page")
        self._connect(port, page["webSocketDebuggerUrl"].split(str(port), 1)[1])
        for domain in ["Page", "Runtime", "Network", "Log", "DOM", "Accessibility"]:
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def _port(self):
        path = os.path.join(self.folder, "DevToolsActivePort")
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"the browser ended: {open(self.log.name, errors='replace').read()[-2000:]}")
            if os.path.exists(path) and (lines := open(path).read().split("\n")) and lines[0].isdigit():
                return int(lines[0])
            time.sleep(0.1)
        raise RuntimeError("the browser did not open its port in a minute")

    def _connect(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            (f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(1)
        assert b" 101 " in answer.split(b"\r\n")[0], answer

    def _receive(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise RuntimeError("the browser closed the connection")
            data += piece
        return bytes(data)

    def _message(self):
        text = b""
        while True:
            first, second = self._receive(2)
            length = second & 0x7F
            if length == 126:
                length = struct.unpack(">H", self._receive(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self._receive(8))[0]
            data = self._receive(length)
            if first & 0x0F in (0, 1):
                text += data
                if first & 0x80:
                    return json.loads(text)

    def _send(self, text):
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x81, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x81, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x81, 0x80 | 127, size)
        repeated = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
        self.socket.sendall(head + mask + masked)

    def call(self, method, **parameters):
        self.number += 1
        self._send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = self._message()
            if "id" not in message:
                self.events.append(message)
            elif message["id"] == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def run(self, script):
        """The value of an expression in the page; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(f"{script[:200]}: {details.get('exception', details).get('description', details)}")
        return result["result"].get("value")

    def open(self, address):
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.wait("document.readyState == 'complete'")

    def wait(self, script, seconds=30):
        end = time.time() + seconds
        while not self.run(f"Boolean({script})"):
            if time.time() > end:
                raise RuntimeError(f"not true after {seconds} s: {script}")
            time.sleep(0.05)

    def key(self, name, text=""):
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "End": 35,
                 "Home": 36, " ": 32}
        down = {"type": "keyDown", "key": name, "code": "Space" if name == " " else name,
                "windowsVirtualKeyCode": codes[name]}
        if name in ("Enter", " "):
            down["text"] = "\r" if name == "Enter" else " "
        self.call("Input.dispatchKeyEvent", **down)
        self.call("Input.dispatchKeyEvent", **{**down, "type": "keyUp"})

    def pointer(self, x, y, click=False):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if click:
            for kind in ["mousePressed", "mouseReleased"]:
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def window(self, width, height, theme="light", media=""):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media=media,
                  features=[{"name": "prefers-color-scheme", "value": theme}])

    def screenshot(self, path, whole=False):
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def complaints(self):
        """What the console and the log have said since the page was opened."""
        self.run("0")
        found = []
        for event in self.events:
            values = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(values["exceptionDetails"].get("exception", {}).get("description", values)))
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(f"console.{values['type']}: {values['args']}")
            elif event["method"] == "Log.entryAdded":
                found.append(f"{values['entry']['level']}: {values['entry']['text']}")
        return found

    def requests(self):
        """The addresses asked for since the page was opened, but for those that carry their data themselves."""
        self.run("0")
        addresses = [event["params"]["request"]["url"] for event in self.events
                     if event["method"] == "Network.requestWillBeSent"]
        return [address for address in addresses if not address.startswith(("data:", "blob:"))]

    def close(self):
        if self.socket:
            self.socket.close()
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
