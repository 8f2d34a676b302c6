"""Reads Pascal VOC: one XML file an image, boxes in 1-based pixels, both ends in."""

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from .shapes import Broken, Record, Shape, number, read_bytes


class Voc:
    """The format `voc`.

    A box from pixel 1 to pixel 10 covers ten pixels: COCO's 0 to 10. Parts inside an
    object (`<part>`) have boxes of their own and are no objects.
    """

    suffix = '.xml'

    def read(self, path: Path) -> Record:
        """Read one file.

        Raises:
            Broken: It is no XML, declares entities, or is not in this format.
        """
        parser = ElementTree.XMLParser(target=_NoDoctype())
        content = read_bytes(path)  # not text: XML names its own encoding
        try:
            root = ElementTree.fromstring(content, parser)
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            raise Broken('not XML', f'is not readable as XML ({error})') from error
        if root.tag != 'annotation':
            raise Broken(
                'other format',
                f'is not in the VOC format: its root is <{root.tag}>, not <annotation>',
            )
        size = None
        if root.find('size') is not None:
            size = tuple(
                number(root.findtext(f'size/{side}'), f'<size><{side}>')
                for side in ('width', 'height')
            )
        entries = []
        for index, thing in enumerate(root.findall('object'), 1):
            name = thing.findtext('name', '').strip()
            entries.append((f'object {index} ({name or "no name"})', thing))
        image = root.findtext('filename', '').strip()
        return Record(image or None, size, entries)

    def shape(self, entry: Element, size: tuple[int, int]) -> Shape:
        """Return one object.

        Raises:
            Broken: It lacks its name or box.
        """
        name = entry.findtext('name', '').strip()
        if not name:
            raise Broken('no class name', 'it has no <name>')
        if entry.find('bndbox') is None:
            raise Broken('no box', 'it has no <bndbox>')
        left, top, right, bottom = (
            number(entry.findtext(f'bndbox/{side}'), f'<{side}>')
            for side in ('xmin', 'ymin', 'xmax', 'ymax')
        )
        difficult = entry.findtext('difficult', '').strip() == '1'
        remarks = ("objects kept though marked 'difficult'",) if difficult else ()
        return Shape(name, (left - 1, top - 1, right, bottom), remarks=remarks)


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a DOCTYPE, hence every entity of the file's own."""

    def doctype(self, *_: object) -> None:
        raise Broken(
            'DOCTYPE in XML',
            'declares a DOCTYPE, which VOC has no use for and which can hide '
            'harmful entities; remove it',
        )
