#!/usr/bin/env python3
"""Tests of the fake store itself: what it promises in README.md."""

import base64
import hashlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_store.py")
BROKEN = (http.client.HTTPException, ConnectionError)


def wait_until(condition, what, limit=10):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.01)


class RunningStore:
    def __init__(self, *options, rules=None):
        self.directory = tempfile.mkdtemp(prefix="fake_store_")
        port_file = os.path.join(self.directory, "port")
        command = [sys.executable, PROGRAM, "--port-file", port_file, *options]
        if rules is not None:
            script = os.path.join(self.directory, "script.json")
            with open(script, "w", encoding="utf-8") as out:
                json.dump(rules, out)
            command += ["--script", script]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        wait_until(lambda: os.path.exists(port_file) or self.process.poll() is not None, "the port file")
        with open(port_file, encoding="ascii") as source:
            self.port = int(source.read())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        shutil.rmtree(self.directory)

    def connect(self, timeout=10):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def call(self, method, target, body=None, headers=None, timeout=10):
        connection = self.connect(timeout)
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def script(self, *rules):
        status, body, _ = self.call("POST", "/__script", json.dumps(rules))
        assert status == 200, body

    def control(self, what):
        return json.loads(self.call("GET", "/__" + what)[1])


class StoreTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = RunningStore("--min-part-size", "5")

    @classmethod
    def tearDownClass(cls):
        cls.store.stop()

    def setUp(self):
        self.store.script()
        self.store.call("POST", "/__reset")

    def put(self, key, body=b"content", **headers):
        return self.store.call("PUT", "/bucket/" + key, body, {n.replace("_", "-"): v for n, v in headers.items()})

    def get(self, key, **headers):
        return self.store.call("GET", "/bucket/" + key, headers={n.replace("_", "-"): v for n, v in headers.items()})

    def keys(self):
        return sorted(self.store.control("objects").get("bucket", {}))

    def assert_broken(self, method, target, body=None, timeout=10):
        with self.assertRaises(BROKEN):
            self.store.call(method, target, body, timeout=timeout)


class WellBehaved(StoreTest):
    def test_objects_come_back(self):
        status, _, headers = self.put("a/b%20c+d%25", b"hello")
        self.assertEqual(status, 200)
        self.assertEqual(headers["ETag"], '"%s"' % hashlib.md5(b"hello").hexdigest())
        status, body, headers = self.get("a/b%20c%2Bd%25")
        self.assertEqual((status, body, headers["Content-Length"]), (200, b"hello", "5"))
        self.assertTrue(headers["Last-Modified"].endswith("GMT"))
        status, body, headers = self.store.call("HEAD", "/bucket/a/b%20c+d%25")
        self.assertEqual((status, body, headers["Content-Length"]), (200, b"", "5"))
        self.assertEqual(self.store.call("DELETE", "/bucket/a/b%20c+d%25")[0], 204)
        status, body, _ = self.get("a/b%20c+d%25")
        self.assertEqual(status, 404)
        self.assertIn(b"<Code>NoSuchKey</Code>", body)

    def test_ranges(self):
        self.put("k", b"0123456789")
        for asked, status, body in (("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-2", 206, b"89"),
                                    ("bytes=5-99", 206, b"56789"), ("bytes=10-", 416, None), ("lines=1", 200, None)):
            got = self.get("k", Range=asked)
            self.assertEqual(got[0], status, asked)
            if body is not None:
                self.assertEqual(got[1], body, asked)
        self.assertEqual(self.get("k", Range="bytes=2-4")[2]["Content-Range"], "bytes 2-4/10")

    def test_digests_are_checked(self):
        good = base64.b64encode(hashlib.md5(b"content").digest()).decode()
        wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        self.assertEqual(self.put("k", Content_MD5=good)[0], 200)
        self.assertIn(b"BadDigest", self.put("k2", Content_MD5=wrong)[1])
        self.assertIn(b"InvalidDigest", self.put("k2", Content_MD5="AAAA")[1])
        self.assertEqual(self.put("k", x_amz_content_sha256=hashlib.sha256(b"content").hexdigest())[0], 200)
        self.assertEqual(self.put("k2", x_amz_content_sha256="0" * 64)[0], 400)
        self.assertEqual(self.keys(), ["k"])

    def test_conditional_writes(self):
        self.assertEqual(self.put("k", b"1", If_None_Match="*")[0], 200)
        status, body, _ = self.put("k", b"2", If_None_Match="*")
        self.assertEqual(status, 412)
        self.assertIn(b"PreconditionFailed", body)
        self.assertEqual(self.put("k", b"2", If_Match='"wrong"')[0], 412)
        self.assertEqual(self.put("k", b"2", If_Match='"%s"' % hashlib.md5(b"1").hexdigest())[0], 200)
        self.assertEqual(self.get("k")[1], b"2")

    def list_all(self, parameters):
        keys, prefixes, pages, token = [], [], 0, ""
        while True:
            _, body, _ = self.store.call("GET", "/bucket?list-type=2&" + parameters + token)
            text = body.decode()
            keys += re.findall("<Contents><Key>(.*?)</Key>", text)
            prefixes += re.findall("<CommonPrefixes><Prefix>(.*?)</Prefix>", text)
            pages += 1
            following = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", text)
            if not following:
                return keys, prefixes, pages
            token = "&continuation-token=" + following.group(1)

    def test_listings_page_and_fold(self):
        for key in ("a", "b/1", "b/2", "b/c/3", "d", "e%26f"):
            self.put(key)
        everything = ["a", "b/1", "b/2", "b/c/3", "d", "e&amp;f"]
        self.assertEqual(self.list_all("")[0], everything)
        self.assertEqual(self.list_all("max-keys=2"), (everything, [], 3))
        self.assertEqual(self.list_all("prefix=b/&delimiter=/"), (["b/1", "b/2"], ["b/c/"], 1))
        self.assertEqual(self.list_all("delimiter=/&max-keys=1"), (["a", "d", "e&amp;f"], ["b/"], 4))
        self.assertEqual(self.list_all("start-after=b/2")[0], ["b/c/3", "d", "e&amp;f"])
        self.assertEqual(self.list_all("encoding-type=url&prefix=e")[0], ["e%26f"])
        self.assertEqual(self.list_all("prefix=nothing")[0], [])

    def test_first_version_of_listings(self):
        for key in ("a", "b", "c"):
            self.put(key)
        text = self.store.call("GET", "/bucket?max-keys=2")[1].decode()
        self.assertIn("<IsTruncated>true</IsTruncated>", text)
        text = self.store.call("GET", "/bucket?marker=b")[1].decode()
        self.assertEqual(re.findall("<Key>(.*?)</Key>", text), ["c"])

    def start_upload(self, key="m"):
        text = self.store.call("POST", "/bucket/%s?uploads" % key)[1].decode()
        return re.search("<UploadId>(.*)</UploadId>", text).group(1)

    def complete(self, upload, parts, key="m"):
        rows = "".join("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>" % part for part in parts)
        return self.store.call("POST", "/bucket/%s?uploadId=%s" % (key, upload),
                               "<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % rows)

    def upload_part(self, upload, number, body, key="m"):
        target = "/bucket/%s?partNumber=%d&uploadId=%s" % (key, number, upload)
        status, _, headers = self.store.call("PUT", target, body)
        self.assertEqual(status, 200)
        return number, headers["ETag"]

    def test_multipart_upload(self):
        upload = self.start_upload()
        parts = [self.upload_part(upload, 1, b"first "), self.upload_part(upload, 2, b"two")]
        self.assertEqual(self.keys(), [])
        listing = self.store.call("GET", "/bucket?uploads&prefix=m")[1].decode()
        self.assertIn("<UploadId>%s</UploadId>" % upload, listing)
        self.assertIn("<PartNumber>2</PartNumber>", self.store.call("GET", "/bucket/m?uploadId=" + upload)[1].decode())
        status, body, _ = self.complete(upload, parts)
        self.assertEqual(status, 200)
        digest = hashlib.md5(hashlib.md5(b"first ").digest() + hashlib.md5(b"two").digest()).hexdigest()
        self.assertIn(digest + "-2", body.decode())
        self.assertEqual(self.get("m")[1], b"first two")
        self.assertEqual(self.store.control("uploads"), {})
        self.assertEqual(self.complete(upload, parts)[0], 404)

    def test_multipart_upload_is_strict(self):
        upload = self.start_upload()
        one, two = self.upload_part(upload, 1, b"long enough"), self.upload_part(upload, 2, b"last")
        self.assertIn(b"InvalidPartOrder", self.complete(upload, [two, one])[1])
        self.assertIn(b"InvalidPart", self.complete(upload, [one, (3, two[1])])[1])
        self.assertIn(b"InvalidPart", self.complete(upload, [one, (2, one[1])])[1])
        self.assertIn(b"MalformedXML", self.complete(upload, [])[1])
        small = self.upload_part(upload, 1, b"tiny")
        self.assertIn(b"EntityTooSmall", self.complete(upload, [small, two])[1])
        self.assertEqual(self.store.call("DELETE", "/bucket/m?uploadId=" + upload)[0], 204)
        self.assertEqual(self.store.call("DELETE", "/bucket/m?uploadId=" + upload)[0], 404)
        self.assertEqual(self.keys(), [])

    def test_deletes_many_and_copies(self):
        for key in ("a", "b", "c"):
            self.put(key, key.encode())
        self.store.call("POST", "/bucket?delete",
                        "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>")
        self.assertEqual(self.keys(), ["c"])
        self.assertEqual(self.put("d", b"", x_amz_copy_source="/bucket/c")[0], 200)
        self.assertEqual(self.get("d")[1], b"c")

    def test_connections_are_kept_alive(self):
        connection = self.store.connect()
        for i in range(3):
            connection.request("PUT", "/bucket/%d" % i, b"x")
            self.assertEqual(connection.getresponse().read(), b"")
        connection.close()
        self.assertEqual(len({entry["connection"] for entry in self.store.control("log")}), 1)

    def test_virtual_host_and_modification_time(self):
        self.store.call("PUT", "/x/y", b"v", {"Host": "bucket.localhost:%d" % self.store.port, "x-fake-modified": "0"})
        self.assertEqual(self.keys(), ["x/y"])
        self.assertEqual(self.get("x/y")[2]["Last-Modified"], "Thu, 01 Jan 1970 00:00:00 GMT")

    def test_log_tells_what_happened_and_no_secret(self):
        self.store.call("PUT", "/bucket/k?x=1", b"12345", {"Authorization": "secret-signature",
                                                           "x-amz-security-token": "secret-token"})
        entry = self.store.control("log")[-1]
        self.assertEqual((entry["operation"], entry["key"], entry["query"], entry["received"], entry["status"]),
                         ("put", "k", "x=1", 5, 200))
        self.assertTrue(entry["signed"])
        self.assertNotIn("secret", json.dumps(entry))


class Scripted(StoreTest):
    def test_error_with_code_and_headers_so_many_times(self):
        self.store.script({"match": {"method": "PUT", "key": "^wal_005/"}, "skip": 1, "count": 2, "name": "slow",
                           "do": {"status": 503, "code": "SlowDown", "headers": {"Retry-After": "7"}}})
        self.assertEqual(self.put("wal_005/1")[0], 200)
        status, body, headers = self.put("wal_005/2")
        self.assertEqual((status, headers["Retry-After"]), (503, "7"))
        self.assertIn(b"<Code>SlowDown</Code>", body)
        self.assertEqual(self.put("other")[0], 200)
        self.assertEqual(self.put("wal_005/2")[0], 503)
        self.assertEqual(self.put("wal_005/2")[0], 200)
        self.assertEqual(self.keys(), ["other", "wal_005/1", "wal_005/2"])
        self.assertEqual([e["rule"] for e in self.store.control("log")], [None, "slow", None, "slow", None])

    def test_error_after_the_work_was_done(self):
        self.store.script({"do": {"status": 500, "apply": True}})
        self.assertEqual(self.put("k")[0], 500)
        self.assertEqual(self.keys(), ["k"])

    def test_success_without_the_work(self):
        self.store.script({"do": {"apply": False}})
        self.assertEqual(self.put("k")[0], 200)
        self.assertEqual(self.keys(), [])

    def test_no_such_bucket_html_and_redirect(self):
        self.store.script({"match": {"bucket": "^gone$"}, "do": {"status": 404, "code": "NoSuchBucket"}},
                          {"match": {"key": "proxy"}, "do": {"status": 200, "body": "<html>login</html>"}},
                          {"match": {"key": "moved"}, "do": {"status": 307, "code": "TemporaryRedirect", "headers": {
                              "Location": "http://127.0.0.1:{port}/bucket/new", "x-amz-bucket-region": "eu-1"}}})
        self.assertIn(b"NoSuchBucket", self.store.call("GET", "/gone/k")[1])
        status, body, headers = self.get("proxy")
        self.assertEqual((status, body, headers["Content-Type"]), (200, b"<html>login</html>", "text/html"))
        status, _, headers = self.get("moved")
        self.assertEqual((status, headers["Location"]), (307, "http://127.0.0.1:%d/bucket/new" % self.store.port))

    def test_error_in_a_success(self):
        self.store.script({"match": {"operation": "complete-upload"}, "do": {"error_in_200": "InternalError"}})
        upload = WellBehaved.start_upload(self)
        part = WellBehaved.upload_part(self, upload, 1, b"x")
        status, body, _ = WellBehaved.complete(self, upload, [part])
        self.assertEqual(status, 200)
        self.assertIn(b"<Error><Code>InternalError</Code>", body)

    def test_stall_lasts_until_the_script_changes(self):
        for where in ("before_body", "body", "before_apply", "before_answer", "answer"):
            self.store.script({"match": {"key": "k"}, "do": {"stall": {"at": where, "after": 3}}})
            self.store.call("DELETE", "/__log")
            connection = self.store.connect()
            connection.request("PUT" if where == "body" else "GET", "/bucket/k", b"0123456789")
            wait_until(lambda: self.store.control("log"), "the request")
            if where != "answer":  # its headers are here already
                self.assertEqual(select.select([connection.sock], [], [], 0.1)[0], [], where)
            self.assertFalse(self.store.control("log")[0]["done"], where)
            self.store.script()
            response = connection.getresponse()
            self.assertIn(response.status, (200, 404), where)
            response.read()
            connection.close()

    def test_stall_with_an_end(self):
        self.store.script({"do": {"stall": {"at": "before_answer", "seconds": 0.2}}})
        start = time.monotonic()
        self.assertEqual(self.put("k")[0], 200)
        self.assertGreaterEqual(time.monotonic() - start, 0.2)

    def test_closed_connections(self):
        body = b"x" * 200_000
        self.put("k", body)
        for reset in (False, True):
            for where, stored in (("before_body", False), ("body", False), ("before_apply", False),
                                  ("before_answer", True)):
                self.store.script({"do": {"close": {"at": where, "after": 100_000, "reset": reset}}})
                self.assert_broken("PUT", "/bucket/new", body)
                self.assertEqual("new" in self.keys(), stored, where)
                self.store.script()
                self.store.call("DELETE", "/bucket/new")
            self.store.script({"do": {"close": {"at": "answer", "after": 1000, "reset": reset}}})
            self.assert_broken("GET", "/bucket/k")

    def test_reset_is_a_reset(self):
        self.store.script({"do": {"close": {"at": "before_answer", "reset": True}}})
        with socket.create_connection(("127.0.0.1", self.store.port), 10) as raw:
            raw.sendall(b"GET /bucket/k HTTP/1.1\r\nHost: x\r\n\r\n")
            with self.assertRaises(ConnectionResetError):
                raw.recv(10)

    def test_connection_that_ends_while_idle(self):
        self.store.script({"count": 1, "do": {"close": {"at": "after_answer"}}})
        connection = self.store.connect()
        connection.request("PUT", "/bucket/k", b"x")
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        response.read()
        self.assertFalse(response.will_close)
        with self.assertRaises(BROKEN):
            connection.request("PUT", "/bucket/k", b"x")
            connection.getresponse()
        connection.close()

    def test_wrong_lengths(self):
        self.put("k", b"0123456789")
        self.store.script({"do": {"length_delta": 5}})
        self.assert_broken("GET", "/bucket/k")
        self.store.script({"do": {"length_delta": -5}})
        self.assertEqual(self.get("k")[1], b"01234")

    def test_wrong_etag_and_flipped_bit_and_missing_header(self):
        self.store.script({"match": {"method": "PUT"}, "do": {"etag": '"bad"'}},
                          {"do": {"corrupt_at": 2, "no_headers": ["ETag"]}})
        self.assertEqual(self.put("k", b"0123")[2]["ETag"], '"bad"')
        status, body, headers = self.get("k")
        self.assertEqual((status, body, headers["ETag"]), (200, b"0133", None))

    def test_slow_drip_both_ways(self):
        self.put("k", b"x" * 300)
        self.store.script({"do": {"send_rate": 1000, "read_rate": 1000}})
        for call in (lambda: self.get("k"), lambda: self.put("k", b"y" * 300)):
            start = time.monotonic()
            self.assertEqual(call()[0], 200)
            self.assertGreaterEqual(time.monotonic() - start, 0.25)

    def test_flapping(self):
        self.store.script({"flap": {"up": 0.3, "down": 0.3}, "do": {"status": 503}})
        seen = set()
        wait_until(lambda: seen.add(self.put("k")[0]) or seen == {200, 503}, "both phases")

    def test_store_without_conditions(self):
        self.store.script({"do": {"ignore_conditions": True}})
        self.put("k", b"1", If_None_Match="*")
        self.assertEqual(self.put("k", b"2", If_None_Match="*")[0], 200)

    def test_listing_that_repeats_its_token(self):
        for key in "abcdef":
            self.put(key)
        self.store.script({"do": {"max_keys": 2, "repeat_token": True}})
        text = self.store.call("GET", "/bucket?list-type=2")[1].decode()
        token = re.search("<NextContinuationToken>(.*?)<", text).group(1)
        text = self.store.call("GET", "/bucket?list-type=2&continuation-token=" + token)[1].decode()
        self.assertIn("<NextContinuationToken>%s<" % token, text)
        self.store.script({"do": {"unsorted": True}})
        text = self.store.call("GET", "/bucket?list-type=2")[1].decode()
        self.assertEqual(re.findall("<Key>(.*?)</Key>", text), list("fedcba"))

    def expecting(self, timeout):
        raw = socket.create_connection(("127.0.0.1", self.store.port), 10)
        raw.sendall(b"PUT /bucket/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        raw.settimeout(timeout)
        return raw

    def test_continue_is_answered_or_not(self):
        with self.expecting(10) as raw:
            self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 100 "))
        self.store.script({"do": {"send_continue": False}})
        with self.expecting(0.2) as raw:
            with self.assertRaises(TimeoutError):
                raw.recv(100)
            raw.settimeout(10)
            raw.sendall(b"abc")
            self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 200 "))

    def test_answer_before_the_body(self):
        self.store.script({"do": {"status": 403, "code": "SignatureDoesNotMatch", "read_body": False}})
        with self.expecting(10) as raw:
            self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 403 "))

    def test_old_version(self):
        self.put("k", b"first")
        self.put("k", b"second")
        self.put("new", b"only")
        self.store.script({"do": {"old_version": True}, "match": {"method": "GET"}})
        self.assertEqual(self.get("k")[1], b"first")
        self.assertEqual(self.get("new")[0], 404)

    def test_locked_objects_stay(self):
        for key in ("a/1", "b/1", "b/2"):
            self.put(key)
        self.store.script({"do": {"locked": "^a/"}})
        self.assertEqual(self.store.call("DELETE", "/bucket/a/1")[0], 403)
        body = "<Delete>" + "".join("<Object><Key>%s</Key></Object>" % key for key in ("a/1", "b/1")) + "</Delete>"
        status, answer, _ = self.store.call("POST", "/bucket?delete", body.encode())
        self.assertEqual(status, 200)
        self.assertIn(b"<Error><Key>a/1</Key><Code>AccessDenied</Code>", answer)
        self.assertIn(b"<Deleted><Key>b/1</Key></Deleted>", answer)
        self.assertEqual(self.keys(), ["a/1", "b/2"])

    def test_start_of_an_upload_can_be_set(self):
        self.store.call("POST", "/bucket/k?uploads", b"", {"x-fake-modified": "86400"})
        self.assertIn(b"<Initiated>1970-01-02T00:00:00.000Z</Initiated>", self.store.call("GET", "/bucket?uploads")[1])

    def test_wrong_rules_are_refused(self):
        for rules in (
                '[{"do": {"stats": 1}}]', '[{"matches": {}}]', '[{"match": {"verb": "GET"}}]',
                '[{"match": {"key": "("}}]', "{", '[1]'):
            self.assertEqual(self.store.call("POST", "/__script", rules)[0], 400, rules)
        self.assertEqual(self.store.call("GET", "/__nothing")[0], 404)


class LifeTest(unittest.TestCase):
    def test_ends_with_its_standard_input_and_on_sigterm_even_while_stalled(self):
        for end in (lambda p: p.stdin.close(), lambda p: p.send_signal(signal.SIGTERM)):
            store = RunningStore(rules=[{"do": {"stall": {"at": "before_answer"}}}])
            connection = store.connect()
            connection.request("GET", "/bucket/k")
            wait_until(lambda: store.control("log"), "the request")
            end(store.process)
            self.assertEqual(store.process.wait(10), 0)
            connection.close()
            store.stop()

    def test_only_named_buckets_exist(self):
        store = RunningStore("--bucket", "one")
        self.assertEqual(store.call("PUT", "/one/k", b"x")[0], 200)
        self.assertIn(b"NoSuchBucket", store.call("PUT", "/two/k", b"x")[1])
        self.assertEqual(store.call("HEAD", "/two")[0], 404)
        store.stop()

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl to make a certificate")
    def with_tls(self, work, *options):
        """Calls work(port, certificate) with a store whose certificate signed itself."""
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-keyout", key, "-out", certificate], check=True, capture_output=True)
            store = RunningStore("--tls-cert", certificate, "--tls-key", key, *options)
            try:
                work(store.port, certificate)
            finally:
                store.stop()

    def test_speaks_tls(self):
        def work(port, certificate):
            context = ssl.create_default_context(cafile=certificate)
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
            connection.request("PUT", "/bucket/k", b"x" * 100_000)
            response = connection.getresponse()
            self.assertEqual((response.status, response.read()), (200, b""))
            connection.close()

        self.with_tls(work)

    def test_speaks_old_tls_only(self):
        def versions(port, certificate, newest):
            context = ssl.create_default_context(cafile=certificate)
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1 if newest < ssl.TLSVersion.TLSv1_2 else newest
            context.maximum_version = newest
            with socket.create_connection(("127.0.0.1", port)) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as secured:
                    return secured.version()

        def work(port, certificate):
            self.assertEqual(versions(port, certificate, ssl.TLSVersion.TLSv1_1), "TLSv1.1")
            with self.assertRaises(ssl.SSLError):
                versions(port, certificate, ssl.TLSVersion.TLSv1_2)

        self.with_tls(work, "--tls-old")


if __name__ == "__main__":
    unittest.main()
