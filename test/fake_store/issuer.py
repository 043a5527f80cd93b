#!/usr/bin/env python3
"""Issues credentials as an instance's metadata service (IMDSv2), a container's agent and a token service (STS) do.

    python3 test/fake_store/issuer.py --port-file FILE

It listens on a free port of 127.0.0.1, writes the port to FILE when it is ready, and ends when its standard input closes.
POST /__state changes what it issues (see STATE), GET /__log lists what was asked for and the answers' status.
"""

import argparse
import datetime
import http.server
import json
import os
import sys
import threading
import urllib.parse

STATE = {
    "role": "app",            # of the instance
    "id": "KEY", "secret": "issued-secret", "token": "issued-session",
    "lifetime": 3600,         # seconds
    "identity": "identity",   # the web identity that may assume the role
    "authorization": "agent-token",  # what the container's agent wants to see
    "base": "BASE",           # access key id that may assume the role
    "fail": 0,                # a status to answer everything with
}
ROLES = "/latest/meta-data/iam/security-credentials/"
METADATA_TOKEN = "metadata-session-token"
log = []
lock = threading.Lock()


def expiry():
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=STATE["lifetime"])
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def document():
    return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": STATE["id"], "Expiration": expiry(),
                       "SecretAccessKey": STATE["secret"], "Token": STATE["token"]})


def role_xml(action):
    return ('<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult><Credentials>'
            "<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken>"
            "<Expiration>%s</Expiration></Credentials></%sResult></%sResponse>" % (
                action, action, STATE["id"], STATE["secret"], STATE["token"], expiry(), action, action))


def error_xml(code):
    return "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code></Error></ErrorResponse>" % code


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        with lock:
            what, status, text = self.answer(body)
            if what:
                log.append({"what": what, "status": status})
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_PUT = do_POST = serve

    def answer(self, body):
        """What was asked for ("" for the test's own questions), status and text."""
        if self.path == "/__state":
            STATE.update(json.loads(body))
            return "", 200, "{}"
        if self.path == "/__log":
            return "", 200, json.dumps(log)
        action = urllib.parse.parse_qs(body).get("Action", [""])[0]
        what = action or "%s %s" % (self.command, self.path)
        if STATE["fail"]:
            return what, STATE["fail"], ""
        if self.command == "POST":
            return (what, *self.assume(action, urllib.parse.parse_qs(body)))
        return (what, *self.issue())

    def issue(self):
        if self.path == "/container":
            return (200, document()) if self.headers.get("Authorization") == STATE["authorization"] else (403, "{}")
        if self.command == "PUT":
            wanted = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            return (200, METADATA_TOKEN) if wanted else (400, "")
        if self.headers.get("X-aws-ec2-metadata-token") != METADATA_TOKEN:
            return 401, ""
        if self.path == ROLES:
            return 200, STATE["role"]
        return (200, document()) if self.path == ROLES + STATE["role"] else (404, "")

    def assume(self, action, form):
        authorization = self.headers.get("Authorization", "")
        if action == "AssumeRoleWithWebIdentity":
            if authorization or form.get("WebIdentityToken") != [STATE["identity"]]:
                return 400, error_xml("InvalidIdentityToken")
        elif "Credential=%s/" % STATE["base"] not in authorization or "/sts/aws4_request" not in authorization:
            return 403, error_xml("AccessDenied")
        if not form.get("RoleArn") or not form.get("RoleSessionName") or form.get("Version") != ["2011-06-15"]:
            return 400, error_xml("ValidationError")
        return 200, role_xml(action)


def main():
    parser = argparse.ArgumentParser(description="issues credentials, for tests")
    parser.add_argument("--port-file", required=True, help="where to write the port when the server listens")
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(options.port_file + ".tmp", "w", encoding="ascii") as out:
        out.write("%d\n" % server.server_address[1])
    os.rename(options.port_file + ".tmp", options.port_file)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
