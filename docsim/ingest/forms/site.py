"""Sites: the sources of documentation that MkDocs, Docusaurus, Sphinx and Hugo build.

A folder is read as any other; pages below the folder of a site are also read as its builder does: with the titles and
sections of its navigation, what they include, and admonitions as quotations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from docsim.errors import SourceError
from docsim.ingest import conversion_pool, file_names, formats
from docsim.ingest.content import tidy
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.forms import page, site_config, site_markup
from docsim.ingest.forms.site_config import Site
from docsim.ingest.trees.tree import Tree, id_of
from docsim.models import Document, Entry, Failure, Item

__all__ = ["documents", "item", "recognise"]

_PAGES = (".md", ".mdx", ".markdown", ".rst")


def recognise(tree: Tree) -> bool:
    """Return whether a tree holds the configuration of a site, at most two folders deep."""
    return any(site_config.is_configuration(one) for one in tree.glance())


def documents(tree: Tree) -> Iterator[Item]:
    """Yield every document of the folder or archive; those of a site are read as pages of it."""
    sites = site_config.sites(tree)
    for one in tree.documents():
        yield item(tree, one, sites) if isinstance(one, str) else one


def item(tree: Tree, path: str, sites: Sequence[Site], *, url: str = "") -> Entry | Failure:
    """Return the document at a path, read as a page of the site that it belongs to, if any.

    Args:
        tree: The folder or archive.
        path: A file of it.
        sites: Its sites.
        url: The address of the file where it belongs to no site whose address is known.
    """
    site = next((site for site in sites if path.startswith(site.folder)), None)
    if site is None or not path.lower().endswith(_PAGES):
        return page.entry(tree, path, id_of(path), **({"url": url} if url else {}))
    try:
        whole = site_markup.included(tree.text(path), path, site, tree)
    except SourceError as error:
        return Failure(id_of(path), str(error))
    context = repr([whole, url, site.base, sorted(site.facts(path).items()), site.kind, formats.FORMATS_VERSION])
    digest = hashlib.sha256(context.encode("utf-8", "surrogatepass")).hexdigest()
    return Entry(id_of(path), digest, lambda: _page(path, site, whole, url, tree.how))


def _page(path: str, site: Site, text: str, url: str, how: Conversion) -> Document:
    suffix = file_names.suffix(path)
    data, name = (text or " ").encode("utf-8", "replace"), "/".join(path.split("/")[-2:])
    content = conversion_pool.read(data, suffix, name, how=how)
    facts, fields = site.facts(path), dict(content.metadata)
    navigated = str(facts.pop("title", "") or "")
    if "tags" in fields and "labels" not in fields:
        fields["labels"] = fields.pop("tags")
    facts["url"] = site.address(path, fields) or url
    facts["links"] = [id_of(one) for one in site_markup.links(content.text, path, site.folder)]
    plain = site_markup.plain(content.text, restructured=suffix == ".rst")
    kept = {name: value for name, value in facts.items() if value}
    return Document(id_of(path), tidy(plain), navigated or content.title, {**fields, **kept})
