"""A fake of what only Azure has: Entra's token endpoint, a machine's identity endpoint, Azure DevOps feeds and an Azure
container registry, each with Azure's own protocol. The test gives it a network of its own, in which Azure's hosts are
on the loopback device.

usage: fake_azure.py CERTIFICATE KEY
"""

import base64
import http.server
import json
import ssl
import sys
import threading
import urllib.parse

# Nobody must ever print one of these.
TOKEN = {
    "499b84ac-1321-427f-aa17-267ca6975798": "fake-feed-token",
    "https://containerregistry.azure.net": "fake-registry-token",
}
ENDS = 4102444800  # 2100-01-01


class Azure(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
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

    def do_GET(self):
        host, url = self.headers["Host"].split(":")[0], urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if host == "169.254.169.254" or url.path.startswith("/msi/"):
            self.machine(query)
        elif host == "token.actions.githubusercontent.com":
            ok = self.headers.get("Authorization") == "Bearer fake-request-token" and query["audience"] == "api://AzureADTokenExchange"
            self.answer(200 if ok else 403, {"value": "fake-workflow-token"} if ok else {})
        elif host.endswith("azurecr.io"):
            self.registry(url.path, query)
        else:
            self.feed(url.path)

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
        if feed != "tools":
            return self.answer(404, {"message": f"The feed with ID '{feed}' doesn't exist.", "typeKey": "FeedIdNotFoundException"})
        if package and package != ["contoso-tools"]:
            return self.answer(404, {"message": f"The package '{package[0]}' was not found.", "typeKey": "PackageNotFoundException"})
        self.answer(200, '<a href="contoso-tools/">contoso-tools</a>', [("Content-Type", "text/html")])

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
        self.answer(200, {}, [("Docker-Content-Digest", "sha256:" + "0" * 64)])

    def do_POST(self):
        host, form = self.headers["Host"].split(":")[0], self.form()
        if host == "login.microsoftonline.com":
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
