"""A fake of what only Azure and GitHub have: Entra's token endpoint, a machine's identity endpoint, Azure DevOps feeds,
an Azure container registry, and GitHub's issuer of a workflow's tokens, each with its own protocol;
and a company's own index, `packages.contoso.example`. The test gives it a
network of its own, in which their hosts are on the loopback device. What it was asked stands in `asked`, beside its
certificate.

usage: fake_azure.py CERTIFICATE KEY
"""

import base64
import gzip
import hashlib
import http.server
import io
import json
import pathlib
import platform
import ssl
import sys
import threading
import urllib.parse
import zipfile

# Nobody must ever print one of these.
TOKEN = {
    "499b84ac-1321-427f-aa17-267ca6975798": "fake-feed-token",
    "https://containerregistry.azure.net": "fake-registry-token",
}
ENDS = 4102444800  # 2100-01-01
ASKED = pathlib.Path(sys.argv[1]).with_name("asked")
WHEEL = "contoso_tools-1.0-py3-none-any.whl"
DOWNLOAD = f"/contoso/_packaging/tools/pypi/download/contoso-tools/1.0/{WHEEL}"


def wheel():
    data, info = io.BytesIO(), "contoso_tools-1.0.dist-info"
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("contoso_tools.py", "WORD = 'from the private feed'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: contoso-tools\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return data.getvalue()


PACKAGE = wheel()


def blob(data):
    return {"digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


# An image without a single file.
FILES = bytes(1024)
LAYER = gzip.compress(FILES)
PROCESSOR = {"aarch64": "arm64"}.get(platform.machine(), "amd64")
CONFIG = json.dumps(
    {"architecture": PROCESSOR, "os": "linux", "config": {"Cmd": ["x"]}, "rootfs": {"type": "layers", "diff_ids": [blob(FILES)["digest"]]}}
).encode()
DOCKER = "application/vnd.docker."
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": DOCKER + "distribution.manifest.v2+json",
        "config": {"mediaType": DOCKER + "container.image.v1+json", **blob(CONFIG)},
        "layers": [{"mediaType": DOCKER + "image.rootfs.diff.tar.gzip", **blob(LAYER)}],
    }
).encode()


class Azure(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def form(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        return dict(urllib.parse.parse_qsl(body))

    def basic(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        return tuple(base64.b64decode(value).decode().split(":", 1)) if kind == "Basic" else None

    def do_HEAD(self):
        self.do_GET()

    def asked_host(self):
        host = self.headers["Host"].split(":")[0]
        with ASKED.open("a") as asked:
            asked.write(f"{host}{self.path.split('?')[0]}\n")
        return host

    def do_GET(self):
        host, url = self.asked_host(), urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if host == "169.254.169.254" or url.path.startswith("/msi/"):
            self.machine(query)
        elif host == "token.actions.githubusercontent.com":
            ok = self.headers.get("Authorization") == "Bearer fake-request-token" and query["audience"] == "api://AzureADTokenExchange"
            self.answer(200 if ok else 403, {"value": "fake-workflow-token"} if ok else {})
        elif host.endswith("azurecr.io"):
            self.registry(url.path, query)
        elif host == "packages.contoso.example":
            self.company(url.path)
        else:
            self.feed(url.path)

    def company(self, path):
        if self.basic() is None or self.basic()[1] != "fake-company-token":
            return self.answer(401, "who are you?", [("WWW-Authenticate", 'Basic realm="packages"')])
        pages = {"/simple/": '<a href="tools/">tools</a>', "/simple/tools/": '<a href="tools-1.0.tar.gz">tools-1.0.tar.gz</a>'}
        if path == "/team":
            return self.answer(301, "", [("Location", "/simple/")])
        self.answer(200 if path in pages else 404, pages.get(path, ""), [("Content-Type", "text/html")])

    def machine(self, query):
        app_service = self.path.startswith("/msi/")
        proof = self.headers.get("X-IDENTITY-HEADER") == "fake-header" if app_service else self.headers.get("Metadata") == "true"
        if not proof or query.get("client_id") not in (None, "assigned"):
            return self.answer(400, {"error": "invalid_request", "error_description": "Identity not found"})
        self.answer(200, {"access_token": TOKEN[query["resource"]], "expires_on": str(ENDS), "token_type": "Bearer", "resource": query["resource"]})

    def feed(self, path):
        parts = path.strip("/").split("/")
        if len(parts) < 5:
            return self.answer(200, "")
        organisation, feed, package = parts[0], parts[2], parts[5:]
        if self.basic() is None or self.basic()[1] != TOKEN["499b84ac-1321-427f-aa17-267ca6975798"] or organisation == "stranger":
            return self.answer(401, "", [("WWW-Authenticate", 'Basic realm="https://pkgs.dev.azure.com/"')])
        if feed == "locked":
            return self.answer(403, {"message": "User 'a' lacks permission to complete this action. You need to have 'ReadPackages'."})
        if path == DOWNLOAD:
            return self.answer(200, PACKAGE, [("Content-Type", "application/octet-stream")])
        if feed != "tools":
            return self.answer(404, {"message": f"The feed with ID '{feed}' doesn't exist.", "typeKey": "FeedIdNotFoundException"})
        if package and package != ["contoso-tools"]:
            return self.answer(404, {"message": f"The package '{package[0]}' was not found.", "typeKey": "PackageNotFoundException"})
        link = f"{DOWNLOAD}#sha256={hashlib.sha256(PACKAGE).hexdigest()}" if package else "contoso-tools/"
        self.answer(200, f'<a href="{link}">{WHEEL if package else "contoso-tools"}</a>', [("Content-Type", "text/html")])

    def registry(self, path, query):
        if path == "/oauth2/token":
            ok = self.basic() == ("00000000-0000-0000-0000-000000000000", "fake-exchanged-token")
            return self.answer(200 if ok else 401, {"access_token": "fake-access-token"} if ok else {})
        if self.headers.get("Authorization") != "Bearer fake-access-token":
            realm = 'Bearer realm="https://contoso.azurecr.io/oauth2/token",service="contoso.azurecr.io"'
            error = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": None}]}
            return self.answer(401, error, [("WWW-Authenticate", realm)])
        if path.endswith("/tags/list"):
            return self.answer(200, {"name": "flows", "tags": ["20240411.v4", "latest", "20240411.v10"]})
        if path.startswith("/v2/tiny/blobs/"):
            return self.answer(200, LAYER if path.endswith(blob(LAYER)["digest"]) else CONFIG)
        if path.startswith("/v2/tiny/manifests/"):
            kind = DOCKER + "distribution.manifest.v2+json"
            return self.answer(200, MANIFEST, [("Docker-Content-Digest", blob(MANIFEST)["digest"]), ("Content-Type", kind)])
        self.answer(200, {}, [("Docker-Content-Digest", "sha256:" + "0" * 64)])

    def do_POST(self):
        host, form = self.asked_host(), self.form()
        if host == "login.microsoftonline.com":
            if form["client_id"] == "unfederated":
                words = "AADSTS700213: No matching federated identity record found for presented assertion subject 'repo:o/flows:ref:refs/heads/b'."
                return self.answer(401, {"error": "invalid_client", "error_description": words, "error_codes": [700213]})
            ok = form["client_id"] == "app" and form["client_assertion"] in ("fake-pod-token", "fake-workflow-token")
            if not ok:
                return self.answer(401, {"error": "invalid_client", "error_description": "AADSTS700016: no such application", "error_codes": [700016]})
            token = TOKEN[form["scope"].removesuffix("/.default")]
            return self.answer(200, {"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": token})
        ok = self.path == "/oauth2/exchange" and form["access_token"] == "fake-registry-token" and form["service"] == host
        self.answer(200 if ok else 401, {"refresh_token": "fake-exchanged-token"} if ok else {})


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # a client that does not trust the certificate


def serve(address, context=None):
    server = Quiet(address, Azure)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1], sys.argv[2])
serve(("127.0.0.1", 443), tls)
serve(("169.254.169.254", 80))
print("ready", flush=True)
sys.stdin.read()
