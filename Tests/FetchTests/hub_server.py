#!/usr/bin/env python3
"""The routes of the Hugging Face hub that `hf download` uses, on loopback, for the tests of pipelines/fetch.

    hub_server.py FOLDER

FOLDER/models/OWNER/NAME/… and FOLDER/datasets/… are the repositories. Writes its endpoint to FOLDER/endpoint when it is
ready, and a line a request to FOLDER/requests: method and path.
"""

import hashlib
import http.server
import json
import os
import sys
import urllib.parse

root = os.path.abspath(sys.argv[1])
commit = hashlib.sha1(b"main").hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        with open(f"{root}/requests", "a") as log:
            print(self.command, path, file=log)
        parts = path.strip("/").split("/")
        is_api = parts[0] == "api"
        parts = parts[is_api:]
        kind = parts.pop(0) if parts[0] in ("models", "datasets") else "models"
        if len(parts) < 2:
            return self.answer(404, b"{}")
        owner, name, verb, *rest = parts + ["revision"][len(parts) - 2 :]
        folder = f"{root}/{kind}/{owner}/{name}"
        if not os.path.isdir(folder):
            return self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        if is_api:
            return self.describe(folder, f"{owner}/{name}", verb)
        file = f"{folder}/{'/'.join(rest[1:])}"
        if not os.path.isfile(file):
            return self.answer(404, b"{}", X_Error_Code="EntryNotFound")
        with open(file, "rb") as opened:
            data = opened.read()
        etag = hashlib.sha256(data).hexdigest()
        self.answer(200, data, X_Repo_Commit=commit, ETag=f'"{etag}"')

    do_HEAD = do_GET

    def describe(self, folder, name, verb):
        found = [os.path.join(parent, file) for parent, _, files in os.walk(folder) for file in files]
        files = sorted((os.path.relpath(file, folder), os.path.getsize(file)) for file in found)
        if verb == "tree":
            body = [{"type": "file", "path": file, "size": size, "oid": commit} for file, size in files]
        else:
            siblings = [{"rfilename": file} for file, _ in files]
            body = {"_id": "0", "id": name, "private": False, "downloads": 0, "likes": 0, "tags": [], "sha": commit}
            body["siblings"] = siblings
        self.answer(200, json.dumps(body).encode(), Content_Type="application/json")


hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
with open(f"{root}/endpoint.new", "w") as endpoint:
    endpoint.write(f"http://127.0.0.1:{hub.server_port}")
os.rename(f"{root}/endpoint.new", f"{root}/endpoint")
hub.serve_forever()
