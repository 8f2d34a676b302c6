"""Every broken input gets one sentence with its place, or is skipped and counted."""

import pytest

from annotation_files import DOG, SUFFIX, labelme, shape, voc, voc_object

TRIANGLE = [[10, 10], [30, 10], [10, 50]]
BOMB = '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
# Format, file, reason to count it under, place in the file, words of the sentence.
BROKEN = {
    'unclosed XML': ('voc', voc(DOG)[:-9], 'not XML', '', 'not readable as XML'),
    'empty XML': ('voc', '', 'not XML', '', 'no element found'),
    'entities': ('voc', BOMB + voc(DOG), 'DOCTYPE in XML', '', 'declares a DOCTYPE'),
    'external entity': ('voc', OUTSIDE + voc(DOG), 'DOCTYPE in XML', '', 'DOCTYPE'),
    'entities in UTF-16': (
        'voc', (BOMB + voc(DOG)).encode('utf-16'), 'DOCTYPE in XML', '', 'DOCTYPE',
    ),
    'undeclared entity': ('voc', voc('&x;'), 'not XML', '', 'undefined entity'),
    'other XML': ('voc', '<html/>', 'other format', '', '<html>'),
    'no name': ('voc', voc(voc_object((1, 1, 9, 9), '')), 'no class name',
                'object 1 (no name)', 'no <name>'),
    'no box': ('voc', voc(DOG, '<object><name>cat</name></object>'), 'no box',
               'object 2 (cat)', 'no <bndbox>'),
    'no number': ('voc', voc(voc_object((1, 'x', 9, 9))), 'bad number',
                  'object 1 (dog)', "<ymin> is 'x'"),
    'not finite': ('voc', voc(voc_object((1, 'nan', 9, 9))), 'bad number',
                   'object 1 (dog)', "<ymin> is 'nan'"),
    'turned round': ('voc', voc(voc_object((9, 1, 1, 9))), 'no width or height',
                     'object 1 (dog)', 'no positive width'),
    'sticks out': ('voc', voc(voc_object((1, 1, 102, 9))), 'outside the image',
                   'object 1 (dog)', 'image of 100 x 80'),
    'outside': ('voc', voc(voc_object((200, 1, 220, 9))), 'outside the image',
                'object 1 (dog)', 'from (199, 0) to (220, 9)'),
    'beside the image': ('voc', voc(voc_object((101, 1, 101, 9))),
                           'no width or height', 'object 1 (dog)', 'no positive'),
    'unknown class': ('voc', voc(voc_object((1, 1, 9, 9), 'emu')), 'unknown class',
                      'object 1 (emu)', "'emu' is not in --classes"),
    'missing image': ('voc', voc(DOG, filename='z.png'), 'missing image', '',
                        'z.png is not in'),
    'way out': ('voc', voc(DOG, filename='../images/a.png'),
                'image outside the folder', '', '../images/a.png does not lie in'),
    'way out, Windows': ('voc', voc(DOG, filename='C:\\a.png'),
                         'image outside the folder', '', 'does not lie in'),
    'other size': ('voc', voc(DOG, size=(80, 100)), 'other image size', '',
                   '80 x 100 pixels, but a.png has 100 x 80'),
    'size is no number': ('voc', voc(DOG, size=('', 9)), 'bad number', '', '<width>'),
    'damaged image': ('voc', voc(DOG, filename='bad.png'), 'unreadable image', '',
                        'bad.png cannot be read'),
    'too few values': ('yolo', '0 0.5 0.5 0.1', 'bad line', 'line 1', '4 values'),
    'odd polygon': ('yolo', '0 .1 .1 .2 .2 .3 .3 .4', 'bad line', 'line 1', '8 values'),
    'with a score': ('yolo', '0 .5 .5 .1 .1 0.9', 'bad line', 'line 1', '6 values'),
    'word in a line': ('yolo', '\n0 .5 .5 .1 1,0', 'bad number', 'line 2', "'1,0'"),
    'pixels': ('yolo', '0 50 40 10 10', 'bad number', 'line 1', '50 is no share'),
    'class too high': ('yolo', '2 .5 .5 .1 .1', 'unknown class', 'line 1', '0 to 1'),
    'class below zero': ('yolo', '-1 .5 .5 .1 .1', 'unknown class', 'line 1', '-1'),
    'class a fraction': ('yolo', '0.5 .5 .5 .1 .1', 'unknown class', 'line 1', '0.5'),
    'no width': ('yolo', '0 .5 .5 0 .1', 'no width or height', 'line 1', 'no positive'),
    'over the edge': ('yolo', '0 .98 .5 .1 .1', 'outside the image', 'line 1', '103'),
    'binary labels': ('yolo', b'\xff\xfe\x00', 'unreadable file', '', 'UTF-8'),
    'no JSON': ('labelme', '{"shapes": [', 'not JSON', '', 'not readable as JSON'),
    'very deep JSON': ('labelme', '[' * 100000, 'not JSON', '', 'JSON'),
    'a list': ('labelme', [], 'other format', '', "no list 'shapes'"),
    'a COCO file': ('labelme', dict(images=[]), 'other format', '', "'shapes'"),
    'shape is text': ('labelme', labelme('x'), 'bad shape', 'shape 1', 'JSON object'),
    'no label': ('labelme', labelme(shape(TRIANGLE, label=None)), 'no class name',
                 'shape 1', "no 'label'"),
    'two corners': ('labelme', labelme(shape(TRIANGLE[:2])), 'bad shape',
                    'shape 1 (dog)', "'polygon' of 2 points"),
    'a line': ('labelme', labelme(shape(TRIANGLE[:2], 'line')), 'bad shape',
               'shape 1 (dog)', "'line' of 2 points"),
    'triples': ('labelme', labelme(shape([[1, 2, 3]] * 3)), 'bad shape',
                'shape 1 (dog)', 'pairs [x, y]'),
    'no points': ('labelme', labelme(shape(None)), 'bad shape', 'shape 1', 'pairs'),
    'text for x': ('labelme', labelme(shape([['1', 2], ['x', 1], [2, 2]])),
                   'bad number', 'shape 1 (dog)', "an x is 'x'"),
    'true for x': ('labelme', labelme(shape([[True, 2], [3, 1], [2, 2]])),
                   'bad number', 'shape 1 (dog)', 'an x is True'),
    'infinite': ('labelme', labelme(shape([[1e999, 2], [3, 1], [2, 2]])),
                 'bad number', 'shape 1 (dog)', 'an x is inf'),
    'flat': ('labelme', labelme(shape([[1, 2], [3, 2], [5, 2]])),
             'no width or height', 'shape 1 (dog)', 'no positive'),
    'image is a number': ('labelme', labelme(image=3), 'other format', '',
                            'no text'),
}  # fmt: skip


@pytest.mark.parametrize(
    ('kind', 'content', 'reason', 'place', 'words'), BROKEN.values(), ids=list(BROKEN)
)
def test_broken_input(bench, capsys, kind, content, reason, place, words):
    bench.write(f'broken{SUFFIX[kind]}', content)
    if kind == 'yolo':  # the others name their image
        bench.image('broken.png')
    (bench.images / 'bad.png').write_bytes(b'\x89PNG\r\n\x1a\n' + b'\0' * 40)
    bench.image('good.png')
    good = dict(
        voc=voc(DOG, filename='good.png'),
        yolo='0 .5 .5 .1 .1',
        labelme=labelme(shape(TRIANGLE), image='good.png'),
    )
    bench.write(f'good{SUFFIX[kind]}', good[kind])
    classes = ('--classes', 'dog,cat')

    assert bench.run(kind, *classes) == 2
    assert not bench.out.exists() and not bench.out.parent.exists()
    (sentence,) = capsys.readouterr().err.splitlines()
    where = str(bench.annotations / f'broken{SUFFIX[kind]}: ') + place
    assert sentence.startswith(where)
    assert words in sentence
    assert sentence.endswith('; correct it, or pass --skip-broken.')

    document = bench.convert(kind, *classes, '--skip-broken')
    out = capsys.readouterr().out
    assert f'skipped, {reason}: 1, e.g. {where}' in out
    assert 'skipped in all: 1' in out
    (kept,) = (i for i in document['images'] if i['file_name'] == 'good.png')
    assert [e['image_id'] for e in document['annotations']].count(kept['id']) == 1
    # A broken object leaves its image and the other objects in place.
    assert len(document['images']) == (2 if place else 1)


def test_what_is_broken_in_two_files(bench, capsys):
    bench.write('a.txt', '')
    bench.image('b.png')
    bench.image('b.jpg')
    bench.write('b.txt', '')
    assert bench.run('yolo', '--classes', 'dog') == 2
    assert 'b.jpg and b.png in' in capsys.readouterr().err
    bench.write('first.xml', voc(DOG))
    bench.write('second.xml', voc(DOG))
    assert bench.run('voc') == 2
    err = capsys.readouterr().err
    assert 'second.xml: the image a.png is already annotated by' in err


def test_all_broken_is_no_result(bench, capsys):
    bench.write('a.xml', '<annotation>')
    assert bench.run('voc', '--skip-broken') == 2
    assert 'none of the 1 annotation files can be converted' in capsys.readouterr().err
    assert not bench.out.exists()
