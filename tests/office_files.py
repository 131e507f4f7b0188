"""Word and PDF files, and archives as Office has them, written part by part."""

from __future__ import annotations

import io
import zipfile

__all__ = ["archive_of", "docx", "paragraph", "pdf"]


def archive_of(parts: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def docx(body: str, *, prolog: str = "", extra: dict[str, str] | None = None) -> bytes:
    base = "http://schemas.openxmlformats.org"
    word = f'xmlns:w="{base}/wordprocessingml/2006/main"'
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    relations = (
        f'<Relationships xmlns="{base}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{base}/officeDocument/2006/relationships/%s" Target="%s"/></Relationships>'
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{base}/package/2006/content-types">'
        f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": relations % ("officeDocument", "word/document.xml"),
        "word/_rels/document.xml.rels": relations % ("styles", "styles.xml"),
        "word/styles.xml": f'<w:styles {word}><w:style w:type="paragraph" w:styleId="T">'
        '<w:name w:val="Title"/></w:style></w:styles>',
        "word/document.xml": f"{prolog}<w:document {word}><w:body>{body}</w:body></w:document>",
    }
    return archive_of(parts | (extra or {}))


def paragraph(text: str, style: str = "") -> str:
    look = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{look}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(line: str, *, title: str = "", trailer: str = "") -> bytes:
    stream = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET" if line else ""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>",
    ]
    content, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(content))
        content += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(content)
    content += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    content += "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    content += f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 6 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n"
    return content.encode("latin-1")
