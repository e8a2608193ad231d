#!/usr/bin/env python3
"""Writes texts of several kinds into a folder, for GATEWRIGHT_DATA: plain paragraphs, an empty line between them.

    tools/fetch_prose.py ~/gatewright-data      perl.txt, vim.txt, policy.txt, anarchism.txt, reference.txt, fortunes.txt

perl.txt        the manual pages of Perl (perl-doc)          anarchism.txt   An Anarchist FAQ (anarchism)
vim.txt         the help of Vim (vim-runtime)                reference.txt   Debian Reference (debian-reference-en)
policy.txt      Debian Policy Manual (debian-policy)         fortunes.txt    sayings and quotations (fortunes)

Packages come from Debian (apt-get download) and are unpacked with dpkg-deb, not installed; nothing in them is run.
Code, tables and markup are left out as far as simple rules tell them. Other releases give other texts.
"""
import argparse
import gzip
import html
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile

TEXTS = {
    "perl": ("perl-doc", r"\.pod$"),
    "vim": ("vim-runtime", r"/doc/[\w-]+\.txt(\.gz)?$"),
    "policy": ("debian-policy", r"policy.*\.html$|policy\.txt(\.gz)?$"),
    "anarchism": ("anarchism", r"/sec[A-Z]\w*\.html$"),
    "reference": ("debian-reference-en", r"/ch\d+\.en\.html$"),
    "fortunes": ("fortunes", r"/games/fortunes/[\w-]+$"),
}


def files_of(package, pattern, folder):
    """Names and texts of a package's files whose path matches."""
    subprocess.run(["apt-get", "-o", "APT::Sandbox::User=root", "download", "-q", package], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    (name,) = [f for f in os.listdir(folder) if f.startswith(package + "_")]
    packed = subprocess.run(["dpkg-deb", "--fsys-tarfile", name], check=True, cwd=folder, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if not member.isfile() or not re.search(pattern, member.name):
                continue
            content = archive.extractfile(member).read()
            if member.name.endswith(".gz"):
                content = gzip.decompress(content)
            yield member.name, content.decode("utf-8", "replace")


def from_pod(text):
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("=") or re.match(r"[ \t]", paragraph):
            continue  # a directive, or code
        for _ in range(4):
            paragraph = re.sub(r"[A-Z]<{1,3}\s*([^<>]*?)\s*>{1,3}", r"\1", paragraph)
        yield paragraph


def from_html(text):
    text = re.sub(r"(?is)<(script|style|pre|table)\b.*?</\1>", " ", text)
    for paragraph in re.findall(r"(?is)<p\b[^>]*>(.*?)(?=</p>|<p\b|</?(?:div|ul|ol|dl|h\d)\b)", text):
        yield html.unescape(re.sub(r"(?s)<[^>]*>", "", paragraph))


def from_text(text):
    for paragraph in re.split(r"\n\s*\n|\n%\n", text):
        yield paragraph


def sober(paragraph):
    """One line, or nothing for what does not read like prose."""
    line = " ".join(paragraph.split())
    letters = sum(c.isalpha() or c == " " for c in line)
    return line if len(line) >= 60 and letters >= 0.85 * len(line) else ""


def write(path, paragraphs):
    """To a temporary name first, so that a file that is there is whole."""
    with open(path + ".part", "w", encoding="utf-8") as out:
        out.write("\n\n".join(paragraphs) + "\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(path + ".part", path)
    print(path, len(paragraphs), "paragraphs", os.path.getsize(path), "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    for name, (package, pattern) in TEXTS.items():
        paragraphs, met = [], set()
        with tempfile.TemporaryDirectory() as scratch:
            for path, text in files_of(package, pattern, scratch):
                read = from_pod if path.endswith(".pod") else from_html if path.endswith(".html") else from_text
                for line in map(sober, read(text)):
                    if line and line not in met:
                        met.add(line)
                        paragraphs.append(line)
        if not paragraphs:
            sys.exit(f"fetch_prose: expected texts in the package {package}, got none; its files have other names now")
        write(os.path.join(options.folder, name + ".txt"), paragraphs)


if __name__ == "__main__":
    main()
