#!/usr/bin/env python3
"""An S3 server in memory that misbehaves on request. See README.md beside this file."""

import argparse
import base64
import datetime
import email.utils
import hashlib
import http.server
import json
import os
import re
import signal
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import urllib.parse
import warnings
import xml.etree.ElementTree
from xml.sax.saxutils import escape

XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
LOGGED_HEADERS = re.compile(
    r"^(host|range|expect|user-agent|content-(length|md5|type)|if-.*|x-amz-(?!security-token|server-side).*)$", re.I)
PIECE = 64 * 1024
PRECONDITION = "At least one of the pre-conditions you specified did not hold"


class S3Error(Exception):
    def __init__(self, status, code, message="", headers=None):
        super().__init__(code)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


class ConnectionEnd(Exception):
    """The connection is closed, or reset, here."""

    def __init__(self, reset=False):
        super().__init__("end of connection")
        self.reset = reset


class Answer:
    def __init__(self, status=200, body=b"", headers=None):
        self.status, self.body, self.headers = status, body, dict(headers or {})


class StoredObject:
    def __init__(self, data, etag=None, headers=None):
        self.data = data
        self.etag = etag or hashlib.md5(data).hexdigest()
        self.modified = time.time()
        self.headers = headers or {}
        self.before = None  # the object that this one replaced


class Upload:
    def __init__(self, bucket, key, headers):
        self.bucket, self.key, self.headers = bucket, key, headers
        self.started = time.time()
        self.parts = {}


def iso_time(seconds):
    at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (at.microsecond // 1000)


# ---------------------------------------------------------------------------------------------------------------------
# Rules


class Rule:
    """One entry of the script: what it matches, how often, and what it does."""

    KNOWN = {"match", "do", "skip", "count", "flap", "name"}
    KNOWN_MATCH = {"method", "bucket", "key", "query", "operation", "header"}
    KNOWN_DO = {"status", "code", "message", "headers", "body", "apply", "read_body", "stall", "close", "delay", "etag",
                "length_delta", "read_rate", "send_rate", "send_continue", "corrupt_at", "ignore_conditions",
                "max_keys", "repeat_token", "unsorted", "error_in_200", "no_headers", "old_version", "locked"}

    def __init__(self, source, started):
        for known, part in ((self.KNOWN, source), (self.KNOWN_MATCH, source.get("match", {})),
                            (self.KNOWN_DO, source.get("do", {}))):
            unknown = set(part) - known
            if unknown:
                raise ValueError("unknown member %s in rule %s" % (sorted(unknown), json.dumps(source)))
        self.match = source.get("match", {})
        for pattern in [self.match.get(f, "") for f in self.KNOWN_MATCH - {"header"}]:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError("wrong pattern %s: %s" % (pattern, error)) from None
        self.do = source.get("do", {})
        self.skip = source.get("skip", 0)
        self.left = source.get("count")
        self.flap = source.get("flap")
        self.name = source.get("name")
        self.started = started

    def in_down_phase(self):
        if not self.flap:
            return True
        up, down = self.flap["up"], self.flap["down"]
        return (time.monotonic() - self.started) % (up + down) >= up

    def fits(self, request):
        for field in ("method", "bucket", "key", "query", "operation"):
            pattern = self.match.get(field)
            if pattern is not None and not re.search(pattern, getattr(request, field)):
                return False
        for name, pattern in self.match.get("header", {}).items():
            if not re.search(pattern, request.headers.get(name, "")):
                return False
        return True

    def take(self, request):
        """True when the rule applies to this request; counts. Called under the lock."""
        if self.left == 0 or not self.fits(request) or not self.in_down_phase():
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Script:
    def __init__(self, rules):
        started = time.monotonic()
        self.rules = [Rule(rule, started) for rule in rules]
        self.replaced = threading.Event()


# ---------------------------------------------------------------------------------------------------------------------
# The store


class Store:
    def __init__(self, options):
        self.options = options
        self.lock = threading.RLock()
        self.script = Script([])
        self.reset()

    def reset(self):
        with self.lock:
            self.buckets = {name: {} for name in self.options.bucket}
            self.uploads = {}
            self.upload_count = 0
            self.log = []

    def set_script(self, rules):
        script = Script(rules)
        with self.lock:
            old, self.script = self.script, script
        old.replaced.set()

    def find_rule(self, request):
        with self.lock:
            for index, rule in enumerate(self.script.rules):
                if rule.take(request):
                    return rule.name or str(index), rule.do, self.script
        return None, {}, self.script

    def bucket(self, name):
        # Without --bucket every bucket exists.
        if name not in self.buckets:
            if self.options.bucket:
                raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
            self.buckets[name] = {}
        return self.buckets[name]

    def object(self, request):
        found = self.bucket(request.bucket).get(request.key)
        if found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        return found

    def upload(self, request):
        found = self.uploads.get(request.parameters.get("uploadId", ""))
        if found is None or found.bucket != request.bucket or found.key != request.key:
            raise S3Error(404, "NoSuchUpload", "The specified upload does not exist.")
        return found

    def perform(self, request, body, do):
        handler = getattr(self, "do_" + request.operation.replace("-", "_"), None)
        if handler is None:
            raise S3Error(501, "NotImplemented", "A header or query you provided implies functionality that is absent")
        with self.lock:
            if request.operation != "create-bucket":
                self.bucket(request.bucket)
            return handler(request, body, do)

    # Objects

    def check_body(self, request, body):
        wanted = request.headers.get("Content-MD5")
        if wanted is not None:
            try:
                digest = base64.b64decode(wanted, validate=True)
            except ValueError:
                digest = b""
            if len(digest) != 16:
                raise S3Error(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
            if digest != hashlib.md5(body).digest():
                raise S3Error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
        sha256 = request.headers.get("x-amz-content-sha256", "")
        if sha256.startswith("STREAMING-"):
            raise S3Error(501, "NotImplemented", "chunked signatures are not understood")
        if re.fullmatch("[0-9a-f]{64}", sha256) and sha256 != hashlib.sha256(body).hexdigest():
            raise S3Error(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match")

    def check_conditions(self, request, do):
        if do.get("ignore_conditions"):
            return
        existing = self.bucket(request.bucket).get(request.key)
        if request.headers.get("If-None-Match") == "*" and existing is not None:
            raise S3Error(412, "PreconditionFailed", PRECONDITION)
        if_match = request.headers.get("If-Match")
        if if_match is not None:
            if existing is None:
                raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
            if if_match.strip('"') != existing.etag:
                raise S3Error(412, "PreconditionFailed", PRECONDITION)

    @staticmethod
    def kept_headers(request):
        return {name: value for name, value in request.headers.items()
                if name.lower().startswith("x-amz-meta-") or name.lower() in ("content-type", "x-amz-storage-class")}

    def do_put(self, request, body, do):
        self.check_body(request, body)
        self.check_conditions(request, do)
        stored = StoredObject(body, headers=self.kept_headers(request))
        if "x-fake-modified" in request.headers:
            stored.modified = float(request.headers["x-fake-modified"])
        stored.before = self.bucket(request.bucket).get(request.key)
        self.bucket(request.bucket)[request.key] = stored
        return Answer(200, headers={"ETag": '"%s"' % stored.etag})

    def do_copy(self, request, _body, do):
        source = urllib.parse.unquote(request.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        found = self.bucket(source[0]).get(source[2])
        if found is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        self.check_conditions(request, do)
        stored = StoredObject(found.data, headers=dict(found.headers))
        self.bucket(request.bucket)[request.key] = stored
        text = "<CopyObjectResult><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag></CopyObjectResult>" % (
            iso_time(stored.modified), stored.etag)
        return Answer(200, (XML_HEAD + text).encode())

    def do_head(self, request, body, do):
        return self.do_get(request, body, do)

    def do_get(self, request, _body, do):
        found = self.object(request)
        if do.get("old_version"):
            found = found.before
            if found is None:
                raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        headers = {"Content-Type": "binary/octet-stream", **found.headers, "ETag": '"%s"' % found.etag,
                   "Last-Modified": email.utils.formatdate(found.modified, usegmt=True), "Accept-Ranges": "bytes"}
        if_match = request.headers.get("If-Match")
        if if_match is not None and if_match.strip('"') not in ("*", found.etag):
            raise S3Error(412, "PreconditionFailed", PRECONDITION)
        if (request.headers.get("If-None-Match") or "").strip('"') == found.etag:
            return Answer(304, headers=headers)
        span = self.range_of(request.headers.get("Range"), len(found.data))
        if span is None:
            return Answer(200, found.data, headers)
        first, last = span
        headers["Content-Range"] = "bytes %d-%d/%d" % (first, last, len(found.data))
        return Answer(206, found.data[first:last + 1], headers)

    @staticmethod
    def range_of(text, size):
        """First and last byte, or None for the whole object; several ranges are answered with the whole one."""
        fields = re.fullmatch(r"bytes=(\d*)-(\d*)", text or "")
        if not fields or fields.groups() == ("", ""):
            return None
        first, last = fields.groups()
        if first == "":
            first, last = max(0, size - int(last)), size - 1
        else:
            first, last = int(first), min(int(last), size - 1) if last else size - 1
        if first >= size or last < first:
            raise S3Error(416, "InvalidRange", "The requested range is not satisfiable",
                          {"Content-Range": "bytes */%d" % size})
        return first, last

    @staticmethod
    def is_locked(key, do):
        return "locked" in do and re.search(do["locked"], key)

    def do_delete(self, request, _body, do):
        if self.is_locked(request.key, do):
            raise S3Error(403, "AccessDenied", "Access Denied because object protected by object lock.")
        self.bucket(request.bucket).pop(request.key, None)
        return Answer(204)

    def do_delete_many(self, request, body, do):
        self.check_body(request, body)
        root = parse_xml(body)
        quiet = any(local_name(e) == "Quiet" and (e.text or "").strip() == "true" for e in root)
        deleted, locked = [], []
        for entry in (e for e in root if local_name(e) == "Object"):
            key = next((e.text or "" for e in entry if local_name(e) == "Key"), "")
            if self.is_locked(key, do):
                locked.append(key)
                continue
            self.bucket(request.bucket).pop(key, None)
            deleted.append(key)
        rows = "" if quiet else "".join("<Deleted><Key>%s</Key></Deleted>" % escape(key) for key in deleted)
        rows += "".join("<Error><Key>%s</Key><Code>AccessDenied</Code><Message>Access Denied because object protected "
                        "by object lock.</Message></Error>" % escape(key) for key in locked)
        return Answer(200, (XML_HEAD + "<DeleteResult %s>%s</DeleteResult>" % (NAMESPACE, rows)).encode())

    # Buckets

    def do_head_bucket(self, _request, _body, _do):
        return Answer(200, headers={"x-amz-bucket-region": self.options.region})

    def do_create_bucket(self, request, _body, _do):
        if request.bucket in self.buckets:
            raise S3Error(409, "BucketAlreadyOwnedByYou", "Your previous request to create the bucket succeeded")
        self.buckets[request.bucket] = {}
        return Answer(200)

    def do_delete_bucket(self, request, _body, _do):
        if self.bucket(request.bucket):
            raise S3Error(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
        del self.buckets[request.bucket]
        return Answer(204)

    def do_location(self, _request, _body, _do):
        return Answer(200, (XML_HEAD + "<LocationConstraint %s>%s</LocationConstraint>" % (
            NAMESPACE, self.options.region)).encode())

    def do_versioning(self, _request, _body, _do):
        return Answer(200, (XML_HEAD + "<VersioningConfiguration %s/>" % NAMESPACE).encode())

    # Listings

    def do_list(self, request, _body, do):
        parameters = request.parameters
        second = parameters.get("list-type") == "2"
        prefix, delimiter = parameters.get("prefix", ""), parameters.get("delimiter", "")
        limit = min(number_of(parameters, "max-keys", "1000"), do.get("max_keys", self.options.max_keys))
        token = parameters.get("continuation-token")
        if token is not None:
            try:
                after = base64.urlsafe_b64decode(token.encode()).decode()
            except ValueError:
                raise S3Error(400, "InvalidArgument", "The continuation token provided is incorrect") from None
        else:
            after = parameters.get("start-after" if second else "marker", "")
        rows, last, truncated = self.list_rows(request.bucket, prefix, delimiter, after, limit)
        if do.get("unsorted"):
            rows.reverse()
        url = parameters.get("encoding-type") == "url"

        def text(key):
            return escape(urllib.parse.quote(key, safe="/") if url else key)

        xml = ["<Name>%s</Name><Prefix>%s</Prefix>" % (escape(request.bucket), text(prefix)),
               "<MaxKeys>%d</MaxKeys>" % limit,
               "<IsTruncated>%s</IsTruncated>" % ("true" if truncated else "false")]
        if delimiter:
            xml.append("<Delimiter>%s</Delimiter>" % text(delimiter))
        if url:
            xml.append("<EncodingType>url</EncodingType>")
        if second:
            xml.append("<KeyCount>%d</KeyCount>" % len(rows))
            if token is not None:
                xml.append("<ContinuationToken>%s</ContinuationToken>" % escape(token))
            if truncated:
                next_token = base64.urlsafe_b64encode(last.encode()).decode()
                if do.get("repeat_token") and token is not None:
                    next_token = token
                xml.append("<NextContinuationToken>%s</NextContinuationToken>" % next_token)
        elif truncated:
            xml.append("<NextMarker>%s</NextMarker>" % text(last))
        for key, found in rows:
            if found is None:
                xml.append("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % text(key))
            else:
                xml.append("<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag>"
                           "<Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>" % (
                               text(key), iso_time(found.modified), found.etag, len(found.data)))
        body = XML_HEAD + "<ListBucketResult %s>%s</ListBucketResult>" % (NAMESPACE, "".join(xml))
        return Answer(200, body.encode())

    def list_rows(self, bucket, prefix, delimiter, after, limit):
        """Objects and (with None) common prefixes in byte order after `after`, and whether there are more."""
        rows, last = [], ""
        objects = self.bucket(bucket)
        for key in sorted(objects, key=str.encode):
            if not key.startswith(prefix):
                continue
            name, found = key, objects[key]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                name, found = key[:cut + len(delimiter)], None
            if name.encode() <= after.encode() or (rows and name == rows[-1][0]):
                continue
            if len(rows) >= limit:
                return rows, last, limit > 0
            rows.append((name, found))
            last = name
        return rows, last, False

    # Multipart uploads

    def do_create_upload(self, request, _body, _do):
        self.upload_count += 1
        upload_id = "upload-%d-%s" % (self.upload_count, os.urandom(4).hex())
        upload = self.uploads[upload_id] = Upload(request.bucket, request.key, self.kept_headers(request))
        if "x-fake-modified" in request.headers:
            upload.started = float(request.headers["x-fake-modified"])
        return Answer(200, (XML_HEAD + "<InitiateMultipartUploadResult %s><Bucket>%s</Bucket><Key>%s</Key><UploadId>%s"
                            "</UploadId></InitiateMultipartUploadResult>" % (
                                NAMESPACE, escape(request.bucket), escape(request.key), upload_id)).encode())

    def do_upload_part(self, request, body, _do):
        upload = self.upload(request)
        self.check_body(request, body)
        number = number_of(request.parameters, "partNumber", "0")
        if not 1 <= number <= 10000:
            raise S3Error(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        part = StoredObject(body)
        upload.parts[number] = part
        return Answer(200, headers={"ETag": '"%s"' % part.etag})

    def do_complete_upload(self, request, body, do):
        upload = self.upload(request)
        numbers = []
        for element in (e for e in parse_xml(body) if local_name(e) == "Part"):
            fields = {local_name(e): (e.text or "").strip() for e in element}
            number = number_of(fields, "PartNumber", "0")
            part = upload.parts.get(number)
            if part is None or fields.get("ETag", "").strip('"') != part.etag:
                raise S3Error(400, "InvalidPart", "One or more of the specified parts could not be found.")
            numbers.append(number)
        if not numbers:
            raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed")
        if numbers != sorted(set(numbers)):
            raise S3Error(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        parts = [upload.parts[n] for n in numbers]
        if any(len(part.data) < self.options.min_part_size for part in parts[:-1]):
            raise S3Error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        self.check_conditions(request, do)
        etag = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts)).hexdigest() + "-%d" % len(parts)
        stored = StoredObject(b"".join(part.data for part in parts), etag, upload.headers)
        self.bucket(request.bucket)[request.key] = stored
        del self.uploads[request.parameters["uploadId"]]
        return Answer(200, (XML_HEAD + "<CompleteMultipartUploadResult %s><Bucket>%s</Bucket><Key>%s</Key>"
                            "<ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>" % (
                                NAMESPACE, escape(request.bucket), escape(request.key), etag)).encode())

    def do_abort_upload(self, request, _body, _do):
        self.upload(request)
        del self.uploads[request.parameters["uploadId"]]
        return Answer(204)

    def do_list_uploads(self, request, _body, _do):
        prefix = request.parameters.get("prefix", "")
        rows = "".join(
            "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>" % (
                escape(upload.key), upload_id, iso_time(upload.started))
            for upload_id, upload in sorted(self.uploads.items(), key=lambda item: (item[1].key, item[0]))
            if upload.bucket == request.bucket and upload.key.startswith(prefix))
        return Answer(200, (XML_HEAD + "<ListMultipartUploadsResult %s><Bucket>%s</Bucket><Prefix>%s</Prefix>"
                            "<IsTruncated>false</IsTruncated>%s</ListMultipartUploadsResult>" % (
                                NAMESPACE, escape(request.bucket), escape(prefix), rows)).encode())

    def do_list_parts(self, request, _body, _do):
        upload = self.upload(request)
        rows = "".join("<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag><Size>%d</Size></Part>" % (
            number, part.etag, len(part.data)) for number, part in sorted(upload.parts.items()))
        return Answer(200, (XML_HEAD + "<ListPartsResult %s><IsTruncated>false</IsTruncated>%s</ListPartsResult>" % (
            NAMESPACE, rows)).encode())


def number_of(parameters, name, default):
    text = parameters.get(name, default)
    if not re.fullmatch("[0-9]{1,9}", text):
        raise S3Error(400, "InvalidArgument", "Provided %s not an integer" % name)
    return int(text)


def local_name(element):
    return element.tag.rpartition("}")[2]


def parse_xml(body):
    try:
        return xml.etree.ElementTree.fromstring(body)
    except xml.etree.ElementTree.ParseError:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed") from None


# ---------------------------------------------------------------------------------------------------------------------
# HTTP


class Request:
    """A request as S3 sees it: bucket, key and operation."""

    def __init__(self, method, target, headers):
        self.method, self.headers = method, headers
        path, _, self.query = target.partition("?")
        self.parameters = {name: values[0] for name, values in
                           urllib.parse.parse_qs(self.query, keep_blank_values=True).items()}
        host = headers.get("Host", "").rpartition(":")[0] or headers.get("Host", "")
        path = urllib.parse.unquote(path).removeprefix("/")
        if host.endswith(".localhost"):
            self.bucket, self.key = host.removesuffix(".localhost"), path
        else:
            self.bucket, _, self.key = path.partition("/")
        self.operation = self.find_operation()

    def find_operation(self):
        has, method = self.parameters.__contains__, self.method
        if self.key == "":
            special = {("GET", "uploads"): "list-uploads", ("GET", "location"): "location",
                       ("GET", "versioning"): "versioning", ("POST", "delete"): "delete-many"}
            for (wanted, parameter), operation in special.items():
                if method == wanted and has(parameter):
                    return operation
            plain = {"GET": "list", "HEAD": "head-bucket", "PUT": "create-bucket", "DELETE": "delete-bucket"}
            return plain.get(method, "unknown")
        if has("uploadId"):
            multipart = {"PUT": "upload-part", "POST": "complete-upload", "DELETE": "abort-upload", "GET": "list-parts"}
            return multipart.get(method, "unknown")
        if method == "POST" and has("uploads"):
            return "create-upload"
        if method == "PUT" and "x-amz-copy-source" in self.headers:
            return "copy"
        return {"GET": "get", "HEAD": "head", "PUT": "put", "DELETE": "delete"}.get(method, "unknown")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fake-store"
    sys_version = ""
    disable_nagle_algorithm = True
    store = None
    tls = None

    def setup(self):
        if self.tls:
            # In the thread of the connection: a client that does not shake hands blocks nobody else.
            self.request = self.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass
        if self.tls:
            self.connection.close()  # the server knows the socket below only

    def log_message(self, format, *args):
        pass

    def handle_expect_100(self):
        return True  # sent when the body is read, unless a rule forbids it

    def serve(self):
        if self.path.startswith("/__"):
            self.control()
            return
        request = Request(self.command, self.path, self.headers)
        name, do, script = self.store.find_rule(request)
        entry = self.note(request, name)
        try:
            self.play(request, do, script, entry)
        except ConnectionEnd as end:
            entry["closed"] = True
            self.end_connection(end.reset)
        except OSError:
            entry["closed"] = True
            self.close_connection = True
        finally:
            entry["ended"] = time.time()
            entry["done"] = True

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = serve

    def note(self, request, rule):
        """The request's entry in the log, filled in as it goes on."""
        entry = {"time": time.time(), "connection": "%s:%d" % self.client_address[:2], "method": request.method,
                 "target": self.path, "bucket": request.bucket, "key": request.key, "query": request.query,
                 "operation": request.operation, "rule": rule, "signed": "Authorization" in request.headers,
                 "headers": {n.lower(): v for n, v in request.headers.items() if LOGGED_HEADERS.match(n)},
                 "received": 0, "sent": 0, "status": None, "closed": False, "done": False, "ended": None}
        with self.store.lock:
            entry["number"] = len(self.store.log)
            self.store.log.append(entry)
        return entry

    def play(self, request, do, script, entry):
        """The life of a request, with everything a rule can do to it in the order of time."""
        self.disturb("before_body", do, script)
        body = self.read_body(do, script, entry)
        self.disturb("before_apply", do, script)
        answer = self.make_answer(request, body, do)
        if do.get("delay"):
            script.replaced.wait(do["delay"])
        self.disturb("before_answer", do, script)
        self.send_answer(request, answer, do, script, entry)
        self.disturb("after_answer", do, script)
        if do.get("read_body") is False:
            self.drain()

    def drain(self):
        """Takes what the client still sends: closing on unread bytes would reset the connection under the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(2)
        while self.rfile.read1(PIECE):
            pass

    def disturb(self, where, do, script):
        stall = do.get("stall")
        if stall and stall["at"] == where:
            self.stall(stall, script)
        close = do.get("close")
        if close and close["at"] == where:
            raise ConnectionEnd(close.get("reset", False))

    @staticmethod
    def stall(stall, script):
        script.replaced.wait(stall.get("seconds", 3600))

    def read_body(self, do, script, entry):
        if do.get("read_body") is False:
            self.close_connection = True
            return b""
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            return None
        if self.headers.get("Expect", "").lower() == "100-continue" and do.get("send_continue") is not False:
            self.send_response_only(100)
            self.end_headers()
        size = int(self.headers.get("Content-Length") or 0)
        # After so many bytes a rule stalls or ends the connection.
        breaks = sorted(((part["after"], name, part) for name, part in do.items()
                         if name in ("stall", "close") and part["at"] == "body"), key=lambda entry: entry[0])
        pieces, received = [], 0
        while True:
            while breaks and received >= breaks[0][0]:
                _, name, part = breaks.pop(0)
                if name == "close":
                    raise ConnectionEnd(part.get("reset", False))
                self.stall(part, script)
            if received == size:
                return b"".join(pieces)
            wanted = min(PIECE, size - received, breaks[0][0] - received if breaks else PIECE)
            if do.get("read_rate"):
                wanted = max(1, min(wanted, do["read_rate"] // 10))
                script.replaced.wait(wanted / do["read_rate"])
            piece = self.rfile.read(wanted)
            if not piece:
                raise ConnectionEnd()
            pieces.append(piece)
            received += len(piece)
            entry["received"] = received

    def make_answer(self, request, body, do):
        has_status = "status" in do
        answer = None
        # An answer made up by a rule, or none at all, leaves the store as it is unless the rule says "apply".
        if do.get("apply", not has_status):
            try:
                if body is None:
                    raise S3Error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
                answer = self.store.perform(request, body, do)
            except S3Error as error:
                answer = self.error_answer(request, error)
        if has_status:
            answer = self.made_up_answer(request, do)
        elif answer is None:
            answer = Answer(200)  # says that it is done, and it is not
        elif do.get("error_in_200") and answer.status == 200:
            answer = self.error_answer(request, S3Error(200, do["error_in_200"], do.get("message", "")))
        for name, value in do.get("headers", {}).items():
            answer.headers[name] = value.replace("{port}", str(self.server.server_address[1]))
        if "etag" in do:
            answer.headers["ETag"] = do["etag"]
        for name in do.get("no_headers", []):
            answer.headers.pop(name, None)
        if "corrupt_at" in do and answer.body:
            damaged = bytearray(answer.body)
            damaged[do["corrupt_at"] % len(damaged)] ^= 1
            answer.body = bytes(damaged)
        return answer

    def made_up_answer(self, request, do):
        if "body" in do:
            return Answer(do["status"], do["body"].encode(), {"Content-Type": "text/html"})
        if do["status"] >= 300 or "code" in do:
            code = do.get("code", "InternalError")
            return self.error_answer(request, S3Error(do["status"], code, do.get("message", "")))
        return Answer(do["status"])

    @staticmethod
    def error_answer(request, error):
        text = "<Error><Code>%s</Code><Message>%s</Message><Resource>/%s/%s</Resource></Error>" % (
            escape(error.code), escape(error.message), escape(request.bucket), escape(request.key))
        return Answer(error.status, (XML_HEAD + text).encode(), {"Content-Type": "application/xml", **error.headers})

    def send_answer(self, request, answer, do, script, entry):
        empty = request.method == "HEAD" or answer.status in (204, 304)
        headers = {"Date": self.date_time_string(), "Server": "fake-store",
                   "x-amz-request-id": "FAKE%08d" % entry["number"], **answer.headers}
        if answer.status not in (204, 304):
            headers["Content-Length"] = str(len(answer.body) + do.get("length_delta", 0))
            headers.setdefault("Content-Type", "application/xml")
        if do.get("read_body") is False:
            headers["Connection"] = "close"
        entry["status"] = answer.status
        self.send_response_only(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.send_body(b"" if empty else answer.body, do, script, entry)
        if do.get("length_delta"):
            self.close_connection = True  # the length is a lie, so only the end of the connection shows the end

    def send_body(self, body, do, script, entry):
        rate = do.get("send_rate")
        breaks = sorted(((part["after"], name, part) for name, part in do.items()
                         if name in ("stall", "close") and part["at"] == "answer"), key=lambda entry: entry[0])
        at = 0
        while True:
            while breaks and at >= min(breaks[0][0], len(body)):
                _, name, part = breaks.pop(0)
                if name == "close":
                    raise ConnectionEnd(part.get("reset", False))
                self.stall(part, script)
            if at == len(body):
                return
            size = PIECE if not rate else max(1, rate // 10)
            end = min(len(body), at + size, breaks[0][0] if breaks else len(body))
            if rate:
                script.replaced.wait((end - at) / rate)
            self.wfile.write(body[at:end])
            at = end
            entry["sent"] = at

    def end_connection(self, reset):
        self.close_connection = True
        try:
            self.wfile.flush()
            if reset:
                # Linger of zero seconds: close() sends RST instead of FIN.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # The other way in: for the test, not for the client.

    def control(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, result = 200, {}
        try:
            result = self.control_result(self.command, self.path, body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            status, result = 400, {"error": str(error)}
        except S3Error as error:
            status, result = error.status, {"error": error.code}
        text = json.dumps(result).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def control_result(self, method, path, body):
        store = self.store
        if (method, path) == ("POST", "/__script"):
            store.set_script(json.loads(body or b"[]"))
            return {}
        with store.lock:
            if (method, path) == ("GET", "/__log"):
                return list(store.log)
            if (method, path) == ("DELETE", "/__log"):
                store.log.clear()
                return {}
            if (method, path) == ("POST", "/__reset"):
                store.reset()
                return {}
            if (method, path) == ("POST", "/__certificate"):
                files = json.loads(body)
                Handler.tls = tls_context(files["cert"], files["key"])
                return {}
            if (method, path) == ("GET", "/__objects"):
                return {bucket: {key: {"size": len(found.data), "etag": found.etag} for key, found in objects.items()}
                        for bucket, objects in store.buckets.items()}
            if (method, path) == ("GET", "/__uploads"):
                return {upload_id: {"bucket": upload.bucket, "key": upload.key, "parts": sorted(upload.parts)}
                        for upload_id, upload in store.uploads.items()}
        raise S3Error(404, "no such control")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)


def write_port_file(path, port):
    temporary = path + ".tmp"
    with open(temporary, "w", encoding="ascii") as out:
        out.write("%d\n" % port)
    os.rename(temporary, path)


def wait_for_end(watch_stdin):
    """Returns when standard input ends, the sign that whoever started us is gone, or on SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())

    def read_stdin():
        while sys.stdin.buffer.read(4096):
            pass
        ended.set()

    if watch_stdin:
        threading.Thread(target=read_stdin, daemon=True).start()
    while not ended.wait(0.2):
        pass


def parse_options():
    parser = argparse.ArgumentParser(description="S3 server in memory for tests, with scripted faults")
    parser.add_argument("--port-file", required=True, help="where to write the port when the server listens")
    parser.add_argument("--port", type=int, default=0, help="listen here instead of on a free port")
    parser.add_argument("--script", help="file with the first list of rules")
    parser.add_argument("--tls-cert", help="speak TLS with this certificate chain")
    parser.add_argument("--tls-key")
    parser.add_argument("--tls-old", action="store_true", help="speak nothing newer than TLS 1.1")
    parser.add_argument("--bucket", action="append", default=[], help="these buckets exist, no others (default: every)")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--max-keys", type=int, default=1000, help="most entries on one page of a listing")
    parser.add_argument("--min-part-size", type=int, default=5 << 20, help="of all parts but the last")
    parser.add_argument("--ignore-stdin", action="store_true", help="do not end with standard input")
    return parser.parse_args()


def tls_context(certificate, key, old=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if old:
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point of it
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(certificate, key)
    return context


def main():
    options = parse_options()
    store = Store(options)
    if options.script:
        with open(options.script, encoding="utf-8") as source:
            store.set_script(json.load(source))
    Handler.store = store
    if options.tls_cert:
        Handler.tls = tls_context(options.tls_cert, options.tls_key, options.tls_old)
    server = Server(("127.0.0.1", options.port), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    write_port_file(options.port_file, server.server_address[1])
    wait_for_end(not options.ignore_stdin)
    sys.stdout.flush()
    os._exit(0)  # threads of stalled requests are not waited for


if __name__ == "__main__":
    main()
