# SPDX-License-Identifier: Apache-2.0
"""helm: charts over oci://."""
import re
import tarfile

import images
import pytest

pytestmark = pytest.mark.go_client("helm")


@pytest.fixture(scope="module")
def helm(locked):
    one = images.GoTool("helm")
    one.run("registry", "login", "--plain-http", "-u", "alice", "--password-stdin", locked.address, input=b"wonder land")
    yield one
    one.done()


def package(helm, folder, version, name="app", text="hello"):
    """A chart's archive."""
    chart = folder / f"chart-{version}" / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(
        f"apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: '7'\ndescription: a chart of {text}\n")
    (chart / "values.yaml").write_text(f"greeting: {text}\n")
    (chart / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {greeting: {{ .Values.greeting }}}\n")
    helm.run("package", chart, "--destination", folder)
    return folder / f"{name}-{version}.tgz"


def push(helm, server, archive, where):
    output = helm.run("push", "--plain-http", archive, f"oci://{server.address}/{where}", check=False)
    assert helm.last_code == 0, output
    return re.search(r"Digest: (sha256:[0-9a-f]{64})", output).group(1)


def test_push_show_pull(locked, helm, alice, tmp_path):
    archive = package(helm, tmp_path, "1.2.3")
    digest = push(helm, locked, archive, "helm/charts")
    assert alice.head("/v2/helm/charts/app/manifests/1.2.3").header("docker-content-digest") == digest
    reference = f"oci://{locked.address}/helm/charts/app"
    assert "description: a chart of hello" in helm.run("show", "chart", "--plain-http", reference, "--version", "1.2.3")
    assert helm.run("show", "values", "--plain-http", reference, "--version", "1.2.3").strip() == "greeting: hello"
    (tmp_path / "back").mkdir()
    helm.run("pull", "--plain-http", reference, "--version", "1.2.3", "--destination", tmp_path / "back")
    assert (tmp_path / "back" / archive.name).read_bytes() == archive.read_bytes()
    helm.run("pull", "--plain-http", f"{reference}@{digest}", "--untar", "--untardir", tmp_path / "untarred")
    with tarfile.open(archive) as members:
        assert (tmp_path / "untarred" / "app" / "values.yaml").read_bytes() == members.extractfile("app/values.yaml").read()


def test_a_chart_is_rendered_from_the_registry(locked, helm, tmp_path):
    push(helm, locked, package(helm, tmp_path, "0.1.0", text="rendered"), "helm/render")
    shown = helm.run("template", "release", "--plain-http", f"oci://{locked.address}/helm/render/app", "--version", "0.1.0")
    assert "greeting: rendered" in shown


def test_a_range_of_versions_takes_the_newest_tag_in_it(locked, helm, tmp_path):
    for version in ("1.0.0", "1.4.0", "1.10.1", "2.0.0"):
        push(helm, locked, package(helm, tmp_path, version, text=f"v{version}"), "helm/range")
    reference = f"oci://{locked.address}/helm/range/app"
    assert "version: 1.10.1" in helm.run("show", "chart", "--plain-http", reference, "--version", "^1.0.0")
    assert "version: 2.0.0" in helm.run("show", "chart", "--plain-http", reference)


def test_a_version_with_build_metadata(locked, helm, alice, tmp_path):
    push(helm, locked, package(helm, tmp_path, "1.0.0+build.5"), "helm/build")
    assert alice.get("/v2/helm/build/app/tags/list").json()["tags"] == ["1.0.0_build.5"]
    shown = helm.run("show", "chart", "--plain-http", f"oci://{locked.address}/helm/build/app", "--version", "1.0.0+build.5")
    assert "version: 1.0.0+build.5" in shown


def test_a_deleted_version_is_not_found(locked, helm, alice, tmp_path):
    push(helm, locked, package(helm, tmp_path, "1.0.0", text="old"), "helm/delete")
    push(helm, locked, package(helm, tmp_path, "1.1.0", text="new"), "helm/delete")
    assert alice.request("DELETE", "/v2/helm/delete/app/manifests/1.1.0").status == 202
    reference = f"oci://{locked.address}/helm/delete/app"
    helm.run("show", "chart", "--plain-http", reference, "--version", "1.1.0", check=False)
    assert helm.last_code != 0
    assert "version: 1.0.0" in helm.run("show", "chart", "--plain-http", reference, "--version", "^1")


def test_who_is_not_logged_in_gets_nothing(locked, helm, tmp_path):
    archive = package(helm, tmp_path, "3.0.0")
    push(helm, locked, archive, "helm/private")
    stranger = images.GoTool("helm")
    try:
        for command in (("push", "--plain-http", archive, f"oci://{locked.address}/helm/private"),
                        ("show", "chart", "--plain-http", f"oci://{locked.address}/helm/private/app", "--version", "3.0.0")):
            output = stranger.run(*command, check=False)
            assert stranger.last_code != 0 and re.search("401|unauthorized|basic credential not found", output, re.I), output
    finally:
        stranger.done()
