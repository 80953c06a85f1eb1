#!/usr/bin/env python3
"""The routes of the Hugging Face hub that downloads use, on loopback, for the tests of pipelines/fetch.

    hub_server.py FOLDER

FOLDER/models/OWNER/NAME/… and FOLDER/datasets/… are the repositories. Files of more than 1024 bytes are large ones:
the hub redirects to a second server, which stores them under their SHA-256 and refuses a token that was not meant for
it. Misbehaviour is a matter of the repository's name:

    gated       401 with GatedRepo without the token "good"
    renamed     a relative redirect to the repository "plain"
    cut         the first two answers of the store end in the middle
    norange     as cut, and the store ignores ranges
    wrong       the store sends other bytes
    short       the store sends fewer bytes than the hub announced, and says so
    busy        the store answers 503 twice, then works
    strange     a file name that leads out of its folder
    old         the files' commit is not the one the repository's page has

Writes its endpoint to FOLDER/endpoint when it is ready, and a line a request to FOLDER/requests: server, method, path,
Range, whether it had a token.
"""

import hashlib
import http.server
import json
import os
import sys
import threading
import urllib.parse

root = os.path.abspath(sys.argv[1])
commit = hashlib.sha1(b"main").hexdigest()
served = {}
lock = threading.Lock()


def blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def files(folder):
    found = []
    for parent, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(parent, name), folder) for name in names]
    return sorted(found)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    which = "hub"

    def log_message(self, *_):
        pass

    def record(self):
        token = self.headers.get("Authorization", "-")
        with lock, open(f"{root}/requests", "a") as log:
            print(self.which, self.command, self.path, self.headers.get("Range", "-"), token, sep="\t", file=log)

    def answer(self, status, body=b"", headers=(), announce=None):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if announce is None else announce))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.answer(status, b"{}", [("X-Error-Code", code)])


class Hub(Handler):
    def do_GET(self):
        self.record()
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            return self.api(*parts[1:]) if len(parts) > 3 else self.refuse(404, "")
        kind = "models"
        if parts[0] == "datasets":
            kind, parts = parts[0], parts[1:]
        owner, name, verb, revision, *rest = parts
        if name == "renamed":
            return self.answer(307, b"", [("Location", self.path.replace("renamed", "plain"))])
        file = "/".join(rest)
        if not self.may(kind, owner, name) or verb != "resolve":
            return
        whole = f"{root}/{kind}/{owner}/{name}/{file}"
        if not os.path.isfile(whole):
            return self.refuse(404, "EntryNotFound")
        with open(whole, "rb") as opened:
            data = opened.read()
        found = hashlib.sha1(b"other").hexdigest() if name == "old" else commit
        headers = [("X-Repo-Commit", found), ("Accept-Ranges", "bytes")]
        if len(data) <= 1024:
            return self.answer(200, data, headers + [("ETag", f'"{blob(data)}"')])
        digest = hashlib.sha256(data).hexdigest()
        headers += [("X-Linked-Etag", f'"{digest}"'), ("X-Linked-Size", str(len(data))), ("ETag", '"another"')]
        place = f"http://127.0.0.1:{store.server_port}/{name}/{digest}?file={urllib.parse.quote(whole)}"
        self.answer(302, b"elsewhere", headers + [("Location", place)])

    do_HEAD = do_GET

    def may(self, kind, owner, name):
        """Whether the repository is there for this request; answers where it is not."""
        if name == "gated" and self.headers.get("Authorization") != "Bearer good":
            self.refuse(401 if "Authorization" not in self.headers else 403, "GatedRepo")
        elif not os.path.isdir(f"{root}/{kind}/{owner}/{name}"):
            self.refuse(404 if self.headers.get("Authorization") else 401, "RepoNotFound")
        else:
            return True
        return False

    def api(self, kind, owner, name, verb="revision", revision="main", *rest):
        if name == "renamed":
            return self.answer(307, b"", [("Location", self.path.replace("renamed", "plain"))])
        if not self.may(kind, owner, name):
            return
        if revision not in ("main", commit):
            return self.refuse(404, "RevisionNotFound")
        names = ["../../../outside.json"] if name == "strange" else files(f"{root}/{kind}/{owner}/{name}")
        if verb == "tree":
            sizes = [(file, os.path.getsize(f"{root}/{kind}/{owner}/{name}/{file}")) for file in names]
            body = [{"type": "file", "path": file, "size": size, "oid": commit} for file, size in sizes]
        else:
            body = {
                "_id": "0", "id": f"{owner}/{name}", "private": False, "downloads": 0, "likes": 0, "tags": [],
                "sha": commit, "siblings": [{"rfilename": file} for file in names],
            }  # fmt: skip
        # As the hub writes it, without spaces.
        self.answer(200, json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(), [("Content-Type", "application/json")])


class Store(Handler):
    which = "store"

    def do_GET(self):
        self.record()
        if "Authorization" in self.headers:
            return self.answer(400, b"a token that is not for this server")
        split = urllib.parse.urlsplit(self.path)
        name = split.path.split("/")[1]
        with open(urllib.parse.parse_qs(split.query)["file"][0], "rb") as opened:
            data = opened.read()
        with lock:
            # Whoever only asks for the headers is not cut off.
            served[split.path] = time = served.get(split.path, 0) + (self.command == "GET")
        if name == "busy" and time <= 2:
            return self.answer(503, b"later")
        if name == "wrong":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if name == "short":
            data = data[: len(data) // 2]
        headers, status, start = [], 200, 0
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and name != "norange":
            start = int(wanted[6:].split("-")[0])
            if start >= len(data):
                return self.answer(416, b"", [("Content-Range", f"bytes */{len(data)}")])
            status = 206
            headers.append(("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"))
        rest = data[start:]
        if name in ("cut", "norange") and time <= 2:
            self.answer(status, rest[: len(rest) // 3], headers, announce=len(rest))
            self.close_connection = True
            return
        self.answer(status, rest, headers)

    do_HEAD = do_GET


store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=store.serve_forever, daemon=True).start()
with open(f"{root}/endpoint.new", "w") as endpoint:
    endpoint.write(f"http://127.0.0.1:{hub.server_port}")
os.rename(f"{root}/endpoint.new", f"{root}/endpoint")
hub.serve_forever()
