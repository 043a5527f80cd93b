#!/usr/bin/env python3
"""check_deploy.py KUSTOMIZE CRDS: builds what is in deploy/ and checks what a cluster would get of it.

KUSTOMIZE is the program, CRDS a directory with the operator's own descriptions of its resources. Each example site is built
with the options that deploy/argocd gives; then the environment of its pods is put together as the operator does it, expanded as
Kubernetes does it, and the place of its backups derived as Spilo does it.
"""
import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import jsonschema
import yaml

KUSTOMIZE, CRDS = sys.argv[1], pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
SITES = DEPLOY / "kustomize" / "sites"
CLONE_SOURCE = "s3://forge-pg-cluster/spilo/reno-dev4-forge-pg-cluster/wal/15"

# Of each site: where its cluster archives (None: off), and what it would be cloned from.
EXPECTED = {
    "reno-dev4": ("s3://forge-pg-cluster/spilo/reno-dev4-forge-pg-cluster/wal/15", None),
    "lyon-prod": ("s3://forge-pg-backups/spilo/lyon-prod-forge-pg-cluster/wal/15", None),
    "reno-dev4-clone": ("s3://forge-pg-cluster/spilo/reno-dev4-forge-pg-cluster-clone/wal/15", CLONE_SOURCE),
    "reno-dev4-in-place": ("s3://forge-pg-cluster/spilo/reno-dev4-forge-pg-cluster/wal/15", CLONE_SOURCE),
    "reno-dev4-no-image": ("s3://forge-pg-cluster/spilo/reno-dev4-forge-pg-cluster/wal/15", None),
    "reno-dev4-off": (None, None),
}


def load(path):
    return yaml.safe_load(path.read_text())


def build(directory, options=()):
    result = subprocess.run([KUSTOMIZE, "build", *options, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise AssertionError(f"{directory}: {result.stderr}")
    return list(yaml.safe_load_all(result.stdout))


def build_options():
    return load(DEPLOY / "argocd" / "argocd-cm.yaml")["data"]["kustomize.buildOptions"].split()


def of_kind(objects, kind):
    return [thing for thing in objects if thing["kind"] == kind]


def schema(name):
    """The schema of a CRD, without what Kubernetes adds to JSON Schema and closed to fields that it does not name."""

    def closed(node):
        if isinstance(node, list):
            return [closed(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: closed(value) for key, value in node.items()}
        if node.get("type") == "object" and "properties" in node and "additionalProperties" not in node:
            node["additionalProperties"] = bool(node.get("x-kubernetes-preserve-unknown-fields"))
        return node

    top = load(CRDS / name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    top["properties"]["metadata"] = {}
    return closed(top)


def pod_environment(cluster, config_map):
    """The list of variables of a pod in the operator's order: the first of a name counts, what it makes for a clone comes early."""
    variables = [("SCOPE", cluster["metadata"]["name"]), ("POD_NAMESPACE", cluster["metadata"]["namespace"]),
                 ("PGVERSION", cluster["spec"]["postgresql"]["version"])]
    clone = cluster["spec"].get("clone")
    if clone:
        variables.append(("CLONE_SCOPE", clone["cluster"]))
        variables.append(("CLONE_METHOD", "CLONE_WITH_WALE"))
        variables.append(("CLONE_TARGET_TIME", clone["timestamp"]))
        variables.append(("CLONE_WAL_BUCKET_SCOPE_SUFFIX", f"/{clone['uid']}" if "uid" in clone else ""))
        variables.append(("CLONE_WAL_BUCKET_SCOPE_PREFIX", ""))
    known = {name for name, _ in variables}
    variables += [(name, value) for name, value in sorted(config_map["data"].items()) if name not in known]
    return variables


def expanded(variables):
    """$(NAME) is replaced where NAME comes earlier in the list, and stays as it is elsewhere."""
    values = {}
    for name, value in variables:
        values[name] = re.sub(r"\$\((\w+)\)", lambda match: values.get(match[1], match[0]), value)
    return values


def prefix(values, which=""):
    """Spilo's derivation; which is "" for the cluster's own place, "CLONE_" for the source of a clone. None is off."""
    value = lambda name: values.get(which + name, "")
    if value("WALG_S3_PREFIX") or value("WALE_S3_PREFIX"):
        return value("WALG_S3_PREFIX") or value("WALE_S3_PREFIX")
    if not value("WAL_S3_BUCKET") or not value("SCOPE"):
        return None
    namespace = "" if values["POD_NAMESPACE"] == "default" else values["POD_NAMESPACE"] + "-"
    site = values.get(which + "WAL_BUCKET_SCOPE_PREFIX", namespace)
    return f"s3://{value('WAL_S3_BUCKET')}/spilo/{site}{value('SCOPE')}{value('WAL_BUCKET_SCOPE_SUFFIX')}/wal/{value('PGVERSION')}"


class Sites(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.built = {path.name: build(path, build_options()) for path in sorted(SITES.iterdir())}

    def parts(self, name):
        objects = copy.deepcopy(self.built[name])
        return of_kind(objects, "postgresql")[0], of_kind(objects, "ConfigMap")[0]

    def test_every_site_is_expected(self):
        self.assertEqual(sorted(self.built), sorted(EXPECTED))

    def test_what_is_built(self):
        for name, objects in self.built.items():
            with self.subTest(site=name):
                self.assertEqual(sorted((thing["kind"], thing["metadata"]["namespace"]) for thing in objects),
                                 [("ConfigMap", "postgres"), ("postgresql", "postgres")])
                self.assertEqual(of_kind(objects, "ConfigMap")[0]["metadata"]["name"], "pod-env-configmap")

    def test_where_backups_go(self):
        for name, (own, source) in EXPECTED.items():
            with self.subTest(site=name):
                cluster, config_map = self.parts(name)
                values = expanded(pod_environment(cluster, config_map))
                self.assertEqual(prefix(values), own)
                if source:
                    self.assertEqual(prefix(values, "CLONE_"), source)
                self.assertEqual(values["BACKUP_BUCKET"], values["WAL_S3_BUCKET"])
                self.assertEqual(values["CLONE_WAL_S3_BUCKET"], values["WAL_S3_BUCKET"])
                self.assertEqual(values["BACKUP_SITE"], values["WAL_BUCKET_SCOPE_PREFIX"])
                self.assertEqual(values["CLONE_AWS_ENDPOINT"], values["AWS_ENDPOINT"])
                self.assertEqual([other for other in values.values() if "unset-" in other], [])

    def test_a_clone_does_not_archive_into_its_source(self):
        values = expanded(pod_environment(*self.parts("reno-dev4-clone")))
        self.assertNotEqual(prefix(values), prefix(values, "CLONE_"))

    def test_the_prefix_of_a_clone_needs_its_variable(self):
        cluster, config_map = self.parts("reno-dev4-clone")
        del config_map["data"]["CLONE_WALG_S3_PREFIX"]
        values = expanded(pod_environment(cluster, config_map))
        self.assertEqual(prefix(values, "CLONE_"), "s3://forge-pg-cluster/spilo/forge-pg-cluster/wal/")

    def test_values_of_the_site_win(self):
        cluster, config_map = self.parts("lyon-prod")
        self.assertEqual(config_map["data"]["AWS_ENDPOINT"], "https://s3.lyon.example:9000")
        self.assertEqual(config_map["data"]["CLONE_AWS_REGION"], "lyon")
        self.assertEqual(cluster["spec"]["postgresql"]["parameters"]["forge_backup.schedule"], "30 1 * * *")

    def test_replacements_in_the_overlay_would_copy_the_defaults(self):
        """Why each site lists them itself."""
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(["cp", "-r", str(DEPLOY / "kustomize"), place], check=True)
            top = pathlib.Path(place) / "kustomize"
            overlay = top / "overlays" / "postgres-operator-pod-env-configmap" / "kustomization.yaml"
            # The overlay alone has no cluster to copy the schedule to.
            replacements = overlay.parent / "replacements.yaml"
            replacements.write_text(yaml.safe_dump(load(replacements)[:2]))
            overlay.write_text(overlay.read_text() + "replacements:\n- path: replacements.yaml\n")
            site = top / "sites" / "reno-dev4" / "kustomization.yaml"
            site.write_text(re.sub(r"replacements:\n- path: .*\n", "", site.read_text()))
            data = of_kind(build(site.parent, build_options()), "ConfigMap")[0]["data"]
        self.assertEqual(data["WAL_S3_BUCKET"], "")

    def test_resources_fit_the_operator(self):
        validator = jsonschema.Draft7Validator(schema("postgresql.crd.yaml"))
        for name in self.built:
            with self.subTest(site=name):
                cluster, _ = self.parts(name)
                self.assertEqual([error.message for error in validator.iter_errors(cluster)], [])
                cluster["spec"]["postgresql"]["parameters"]["forge_backup.retain"] = 5
                cluster["spec"]["unknown"] = 1
                self.assertEqual(len(list(validator.iter_errors(cluster))), 2, "the schema refuses what is wrong")

    def test_settings_exist(self):
        known = set(re.findall(r"^### `(forge_backup\.\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.M))
        for name in self.built:
            parameters = self.parts(name)[0]["spec"]["postgresql"]["parameters"]
            used = {parameter for parameter in parameters if parameter.startswith("forge_backup.")}
            self.assertTrue(used)
            self.assertEqual(used - known, set())

    def test_the_volume_without_own_image(self):
        cluster, _ = self.parts("reno-dev4-no-image")
        self.assertNotIn("dockerImage", cluster["spec"])
        volumes = {volume["name"]: volume["mountPath"] for volume in cluster["spec"]["additionalVolumes"]}
        mounts = {mount["name"] for mount in cluster["spec"]["initContainers"][0]["volumeMounts"]}
        self.assertEqual(mounts, set(volumes))
        parameters = cluster["spec"]["postgresql"]["parameters"]
        for name in ("archive_library", "archive_command", "restore_command", "forge_backup.helper_path"):
            self.assertTrue(parameters[name].startswith(volumes["forge-backup"] + "/"), name)


class Others(unittest.TestCase):
    def test_operator_configuration(self):
        with tempfile.TemporaryDirectory() as place:
            top = pathlib.Path(place)
            subprocess.run(["cp", "-r", str(DEPLOY / "kustomize" / "operator"), place], check=True)
            (top / "default.yaml").write_text((CRDS / "postgresql-operator-default-configuration.yaml").read_text())
            (top / "kustomization.yaml").write_text("resources: [default.yaml]\ncomponents: [operator]\n")
            configuration, = build(top)
        validator = jsonschema.Draft7Validator(schema("operatorconfiguration.crd.yaml"))
        self.assertEqual([error.message for error in validator.iter_errors(configuration)], [])
        values = configuration["configuration"]
        self.assertEqual(values["kubernetes"]["pod_environment_secret"], values["aws_or_gcp"]["additional_secret_mount"])
        self.assertEqual(values["kubernetes"]["pod_environment_configmap"], "postgres/pod-env-configmap")
        self.assertTrue(values["enable_pgversion_env_var"])
        self.assertEqual(values["workers"], load(CRDS / "postgresql-operator-default-configuration.yaml")["configuration"]["workers"],
                         "what is there stays")
        for path in SITES.iterdir():
            cluster = of_kind(build(path, build_options()), "postgresql")[0]
            self.assertEqual(cluster["spec"]["postgresql"]["parameters"]["forge_backup.secret_dir"],
                             values["aws_or_gcp"]["additional_secret_mount_path"])

    def test_application(self):
        application = load(DEPLOY / "argocd" / "application.yaml")
        self.assertEqual((application["apiVersion"], application["kind"]), ("argoproj.io/v1alpha1", "Application"))
        self.assertTrue((ROOT / application["spec"]["source"]["path"] / "kustomization.yaml").is_file())
        self.assertFalse(application["spec"]["syncPolicy"]["automated"]["prune"])

    def test_replica_methods(self):
        methods = json.loads((DEPLOY / "spilo" / "dcs.json").read_text())["postgresql"]
        self.assertEqual(methods["create_replica_methods"], ["forge", "basebackup"])
        self.assertEqual(methods["forge"]["no_leader"], 1)

    def test_dockerfile_copies_what_exists(self):
        lines = re.findall(r"^COPY (?!--from)(\S+)", (DEPLOY / "spilo" / "Dockerfile").read_text(), re.M)
        self.assertTrue(lines)
        self.assertEqual([name for name in lines if not (ROOT / name).exists()], [])

    def test_no_secret(self):
        secret = re.compile(r"(SECRET_ACCESS_KEY|ACCESS_KEY_ID|LIBSODIUM_KEY|PASSWORD|SESSION_TOKEN)\s*[:=]\s*\S|\b[0-9a-f]{64}\b|kind:\s*Secret")
        for path in DEPLOY.rglob("*"):
            if path.is_file():
                found = [line for line in path.read_text().splitlines() if secret.search(line)]
                self.assertEqual(found, [], path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
