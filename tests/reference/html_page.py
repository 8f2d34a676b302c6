"""What a self-contained HTML page has to be: read by a parser, opened by a browser."""

import base64
import json
import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'google-chrome'))), None)
VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}


class Page(HTMLParser):
    """Checks that tags are balanced, and collects what a reader would meet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.images, self.addresses, self.ids = [], [], [], []
        self.text = ''
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == 'img':
            self.images.append(attrs)
        if 'id' in attrs:
            self.ids.append(attrs['id'])
        self.addresses += [attrs[name] for name in ('src', 'href') if name in attrs]
        assert tag != 'script' and not [name for name in attrs if name[:2] == 'on']

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if 'style' not in self.open:
            self.text += data


def check_page(text: str) -> Page:
    """Nothing outside the page is asked for, and figures can be told in words."""
    page = Page(text)
    assert text.startswith('<!DOCTYPE html>')
    assert len(set(page.ids)) == len(page.ids)
    for address in page.addresses:
        assert address.startswith(('data:', '#')), address
        if address.startswith('#'):
            assert address[1:] in page.ids
    for image in page.images:
        png = base64.b64decode(image['src'].removeprefix('data:image/png;base64,'))
        assert (int(image['width']), int(image['height'])) == struct.unpack(
            '>II', png[16:24]
        )
        assert len(image['alt']) > 20
    assert 'url(' not in text and '@import' not in text
    return page


FRAME = """\
<!DOCTYPE html><title>phone</title>
<iframe src="{page}" width="390" height="844" style="border:0"></iframe>
<script>
onload = () => {{
  const page = document.querySelector('iframe').contentDocument;
  const whole = page.documentElement;
  const seen = {{
    too_wide: whole.scrollWidth - whole.clientWidth,
    drawn: [...page.images].filter(image => image.naturalWidth > 0).length,
    sections: page.querySelectorAll('section').length,
  }};
  document.body.append(`seen ${{JSON.stringify(seen)}} seen`);
}};
</script>
"""


def check_in_a_browser(page: Path, scratch: Path, images: int, sections: int) -> None:
    """It opens from the file system without a complaint, and fits a phone's width."""
    frame = scratch / 'frame.html'
    frame.write_text(FRAME.format(page=page.as_uri()))
    done = subprocess.run(
        [
            CHROMIUM,
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--allow-file-access-from-files',
            '--enable-logging=stderr',
            f'--user-data-dir={scratch / "profile"}',
            '--dump-dom',
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert not re.findall('.*CONSOLE.*', done.stderr)
    seen = json.loads(re.search('seen ({.*}) seen</body>', done.stdout)[1])
    assert seen == dict(too_wide=0, drawn=images, sections=sections)
