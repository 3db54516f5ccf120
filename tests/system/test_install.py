# SPDX-License-Identifier: LGPL-2.1-or-later
"""What "meson install" puts where."""

import gettext
import re
import subprocess
from xml.etree import ElementTree

import pytest

from harness.box import SOURCE

# Below the prefix, but for @: below the folder of configuration.
FILES = """
    @/virtfreeze/virtfreezed.conf
    lib/systemd/catalog/virtfreeze.catalog
    lib/systemd/system/virtfreezed-release.service
    lib/systemd/system/virtfreezed.service
    lib/systemd/user/virtfreezed-release.service
    lib/systemd/user/virtfreezed.service
    lib/sysusers.d/virtfreeze.conf
    libexec/virtfreezed
    share/dbus-1/interfaces/org.virtfreeze1.Domain.xml
    share/dbus-1/interfaces/org.virtfreeze1.Freeze.xml
    share/dbus-1/interfaces/org.virtfreeze1.Manager.xml
    share/dbus-1/services/org.virtfreeze1.service
    share/dbus-1/system-services/org.virtfreeze1.service
    share/dbus-1/system.d/org.virtfreeze1.conf
    share/doc/virtfreeze/events.md
    share/doc/virtfreeze/examples/40-virtfreeze-agent-timeout.rules
    share/doc/virtfreeze/examples/40-virtfreeze-domain.rules
    share/doc/virtfreeze/examples/40-virtfreeze-script.rules
    share/doc/virtfreeze/interoperability.md
    share/doc/virtfreeze/snapshots.md
    share/doc/virtfreeze/examples/backup-guest.sh
    share/doc/virtfreeze/examples/backup-image.sh
    share/doc/virtfreeze/examples/backup@.service
    share/doc/virtfreeze/examples/busctl-lease.sh
    share/doc/virtfreeze/examples/virtfreeze-backup.cron
    share/doc/virtfreeze/examples/vm-manager.py
    share/doc/virtfreeze/recipes.md
    share/locale/de/LC_MESSAGES/virtfreeze.mo
    share/man/man5/org.virtfreeze1.5
    share/man/man5/virtfreezed.conf.5
    share/man/man8/virtfreezed.8
    share/polkit-1/actions/org.virtfreeze1.policy
    share/polkit-1/rules.d/50-virtfreeze-libvirt.rules
    share/polkit-1/rules.d/50-virtfreeze.rules
"""
# With the command.
COMMAND = """
    bin/virt-freeze
    share/bash-completion/completions/virt-freeze
    share/man/man1/virt-freeze.1
    share/zsh/site-functions/_virt-freeze
"""


@pytest.fixture(scope="module", params=["/usr", "/usr/local"])
def prefix(request):
    return request.param


@pytest.fixture(scope="module")
def root(prefix, staged):
    return staged(prefix)


@pytest.fixture(scope="module")
def usr(staged):
    return staged("/usr") / "usr"


def test_files(root, prefix):
    names = FILES + (COMMAND if (SOURCE / "client" / "meson.build").exists() else "")
    etc = {"/usr": "etc", "/usr/local": "usr/local/etc"}[prefix]
    expected = {name.replace("@", etc) if name.startswith("@") else f"{prefix[1:]}/{name}"
                for name in names.split()}
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == expected


def test_programs_are_where_the_files_say(root, prefix):
    base = root / prefix[1:]
    said = []
    for path in [*base.glob("lib/systemd/*/*.service"), *base.glob("share/dbus-1/*/*.service")]:
        text = path.read_text()
        assert "@" not in re.sub(r"@(?:system-service|privileged|resources)\b", "", text), path
        said += re.findall(r"^Exec(?:Start|Reload)?=(\S*virtfreezed)\b", text, re.MULTILINE)
    assert len(said) == 8
    assert set(said) == {f"{prefix}/libexec/virtfreezed"}
    assert (root / said[0][1:]).stat().st_mode & 0o111 == 0o111


def test_the_program_reads_the_installed_configuration(root, prefix):
    program = (root / prefix[1:] / "libexec/virtfreezed").read_bytes()
    assert {"/usr": b"\0/etc/virtfreeze/", "/usr/local": b"\0/usr/local/etc/virtfreeze/"}[
        prefix] in program


def test_what_polkit_asks_is_translated(usr):
    policy = ElementTree.parse(usr / "share/polkit-1/actions/org.virtfreeze1.policy")
    texts = [element for name in ("description", "message") for element in policy.iter(name)]
    assert len(texts) == 6
    for language in (SOURCE / "po/LINGUAS").read_text().splitlines():
        if language.startswith("#"):
            continue
        catalog = gettext.translation("virtfreeze", usr / "share/locale", [language])
        for text in texts:
            # polkitd looks there.
            assert text.get("gettext-domain") == "virtfreeze"
            translated = catalog.gettext(text.text)
            assert translated != text.text
            assert ("$(domain_name)" in translated) == ("$(domain_name)" in text.text)


def page(usr, name: str) -> str:
    path = usr / "share/man" / f"man{name[-1]}" / name
    done = subprocess.run(["man", "--warnings", "--local-file", str(path)], capture_output=True,
                          text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                                          "MANWIDTH": "200"}, check=True)
    assert done.stderr == ""
    return done.stdout


def test_the_page_of_the_interface_has_all_of_it(usr):
    text = page(usr, "org.virtfreeze1.5")
    for path in (SOURCE / "interfaces").glob("org.virtfreeze1.*.xml"):
        for interface in ElementTree.parse(path).iter("interface"):
            assert interface.get("name").upper() in text
            for kind in ("method", "signal", "property"):
                for element in interface.iter(kind):
                    brackets = "()" if kind == "method" else ""
                    title = rf"The +{element.get('name')}{re.escape(brackets)} +{kind}"
                    assert re.search(title, text) or re.search(
                        rf'The +"?{element.get("name")}"? +{kind}', text), title


def test_parameters_are_documented(usr):
    """gdbus-codegen reads one line of each: the next would be taken for the method's text."""
    for path in (SOURCE / "interfaces").glob("*.xml"):
        assert not re.search(r"^ +@\w+:.*\n +(?!@)[^\s-]", path.read_text(), re.MULTILINE), path


def test_the_page_of_the_settings_has_all_of_them(usr):
    shipped = (SOURCE / "data" / "virtfreezed.conf").read_text()
    keys = dict(re.findall(r"^#(\w+)=(.*)$", shipped.partition("[Freeze]\n")[2], re.MULTILINE))
    assert len(keys) >= 14
    text = page(usr, "virtfreezed.conf.5")
    marked = set(re.findall(r"^ +(\w+)= \(\*\)$", text, re.MULTILINE))
    for key, default in keys.items():
        assert re.search(rf"^ +{key}=(?: \(\*\))?\n(?: {{10,}}.*\n)*? {{10,}}.*Default: "
                         rf"{re.escape(default)}\.", text, re.MULTILINE), key
    commented = re.findall(r"# \(\*\)(?:[^\n]*\n#)*?(\w+)=", shipped)
    assert marked == set(commented)


def test_the_page_of_the_service_has_all_options(usr):
    text = page(usr, "virtfreezed.8")
    program = usr / "libexec/virtfreezed"
    options = set(re.findall(r"--[a-z-]+", subprocess.run(
        [program, "--help"], capture_output=True, text=True, check=True).stdout))
    assert len(options) >= 8
    assert {option for option in options if option not in text} == set()
