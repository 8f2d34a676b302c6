"""What stands in for mmcv's compiled operators, and how it comes and goes."""

import base64
import hashlib
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bootstrap_lib import packages, roads, standin_wheel
from bootstrap_lib.environment import Environment
from bootstrap_lib.mmcv_wheel import MmcvInstaller
from bootstrap_lib.running import SetupError


@pytest.fixture
def standin():
    """The module itself, as Python would load it from `mmcv/_ext.py`."""
    spec = importlib.util.spec_from_file_location('standin', standin_wheel.SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loop_nms(boxes, scores, threshold, offset):
    """One box after another, in plain numbers."""
    boxes, kept = boxes.tolist(), []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for j in kept:
            a, b = boxes[i], boxes[j]
            sides = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + offset for k in (0, 1)]
            both = max(sides[0], 0) * max(sides[1], 0)
            areas = [(x[2] - x[0] + offset) * (x[3] - x[1] + offset) for x in (a, b)]
            union = sum(areas) - both
            if union and both / union > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('torchvision', ['as it is', 'absent'])
def test_nms_against_a_loop(standin, monkeypatch, offset, torchvision):
    if torchvision == 'absent':
        monkeypatch.setattr(standin, '_nms_of_torchvision', lambda: None)
    generator = torch.Generator().manual_seed(0)
    for number in (0, 1, 40):
        corner = torch.randint(0, 12, (number, 2), generator=generator).double()
        # Sides of 0 among them, equal scores, equal boxes.
        sides = torch.randint(0, 8, (number, 2), generator=generator)
        boxes = torch.cat([corner, corner + sides], 1)
        scores = torch.randint(0, 6, (number,), generator=generator) / 6
        for threshold in (0.1, 0.5, 0.9):
            kept = standin.nms(boxes, scores, iou_threshold=threshold, offset=offset)
            assert kept.dtype == torch.long
            assert kept.tolist() == loop_nms(boxes, scores, threshold, offset)


def test_a_box_at_the_threshold_stays(standin, monkeypatch):
    # Two of three units are shared: IoU 2 / 4 exactly.
    boxes = torch.tensor([[0.0, 0, 3, 1], [1, 0, 4, 1]])
    for name in ('as it is', 'absent'):
        if name == 'absent':
            monkeypatch.setattr(standin, '_nms_of_torchvision', lambda: None)
        for threshold, expected in ((0.5, [1, 0]), (0.49, [1])):
            kept = standin.nms(boxes, torch.tensor([0.1, 0.2]), threshold, 0)
            assert kept.tolist() == expected, name


def test_nms_of_mmcv_goes_through_it(standin, monkeypatch):
    from mmcv.ops import batched_nms
    from mmcv.ops import nms as nms_module

    monkeypatch.setattr(sys.modules['mmcv.ops.nms'], 'ext_module', standin)
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4.1], [0, 0, 4, 4]])
    scores = torch.tensor([0.5, 0.9, 0.8])
    labels = torch.tensor([0, 0, 1])
    dets, kept = batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.5))
    assert kept.tolist() == [1, 2]
    torch.testing.assert_close(dets[:, 4], torch.tensor([0.9, 0.8]))
    assert nms_module(boxes, scores, 0.5)[1].tolist() == [1]


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_deformable_attention_of_a_gpu_and_its_gradients(standin, monkeypatch, dtype):
    from mmcv.ops import multi_scale_deform_attn as attention

    monkeypatch.setattr(attention, 'ext_module', standin)
    generator = torch.Generator().manual_seed(1)
    shapes = torch.tensor([[4, 6], [2, 3]])
    starts = torch.tensor([0, 24])
    inputs = [
        torch.rand(*size, generator=generator).to(dtype)
        for size in ((2, 30, 3, 5), (2, 7, 3, 2, 4, 2), (2, 7, 3, 2, 4))
    ]

    def gradients(attend):
        leaves = [x.clone().requires_grad_() for x in inputs]
        output = attend(*leaves)
        weights = torch.linspace(-1, 1, output.numel(), dtype=dtype).view_as(output)
        (output * weights).sum().backward()
        return output.detach(), *(x.grad for x in leaves)

    # What mmcv calls for tensors on a GPU; its arithmetic asks for no device.
    with pytest.warns(UserWarning, match='OPERATORS=compiled') as warned:
        found = gradients(
            lambda value, places, weights: (
                attention.MultiScaleDeformableAttnFunction.apply(
                    value, shapes, starts, places, weights, 64
                )
            )
        )
    assert len(warned) == 1
    expected = gradients(
        lambda value, places, weights: attention.multi_scale_deformable_attn_pytorch(
            value, shapes, places, weights
        )
    )
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, theirs)


def test_any_other_operator_says_how_to_get_it(standin):
    with pytest.raises(NotImplementedError) as caught:
        standin.roi_align_forward(torch.zeros(1), aligned=True)
    sentence = str(caught.value)
    assert "'roi_align_forward'" in sentence
    assert "'make setup OPERATORS=compiled'" in sentence
    assert '\n' not in sentence
    assert not hasattr(standin, '__path__')
    assert standin.get_compiling_cuda_version() == 'not available'


def test_the_wheel_is_whole(tmp_path):
    with zipfile.ZipFile(standin_wheel.write_wheel(tmp_path)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    info = f'mmdet_qrpaq_operators-{standin_wheel.VERSION}.dist-info'
    assert content['mmcv/_ext.py'] == standin_wheel.SOURCE.read_bytes()
    rows = [x.split(',') for x in content[f'{info}/RECORD'].decode().splitlines()]
    assert [row[0] for row in rows] == list(content)
    for name, digest, size in rows[:-1]:
        sha = hashlib.sha256(content[name]).digest()
        encoded = base64.urlsafe_b64encode(sha).decode().rstrip('=')
        assert (digest, int(size)) == (f'sha256={encoded}', len(content[name]))


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*')}


def test_it_comes_and_goes_without_a_trace(tmp_path):
    venv = tmp_path / 'venv'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', venv], check=True)
    python = venv / 'bin' / 'python'
    site = next((venv / 'lib').glob('python*')) / 'site-packages'
    (site / 'mmcv').mkdir()
    (site / 'mmcv' / '__init__.py').write_text('')
    # The torch that the stand-in imports; this one's own takes seconds.
    (site / 'torch.py').write_text('Tensor = object\n')
    before = files_below(site)

    def pip(*args):
        command = [sys.executable, '-m', 'pip', '--python', str(python), *args]
        subprocess.run(command, check=True, capture_output=True)

    wheel = standin_wheel.write_wheel(tmp_path)
    pip('install', '--no-index', '--no-deps', str(wheel))
    said = subprocess.run(
        [python, '-c', 'import mmcv._ext as e; print(e.__name__, e.softnms.__name__)'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == 'mmcv._ext softnms\n'
    pip('uninstall', '-y', standin_wheel.NAME)
    left = files_below(site) - before
    assert not {x for x in left if '__pycache__' not in x}
    assert not {x for x in left if '_ext' in x}


@pytest.mark.parametrize(
    ('cuda', 'nvcc', 'asked', 'road'),
    [
        (False, True, None, 'standin'),
        (True, True, None, 'compiled'),
        (True, False, None, 'standin'),
        (False, False, 'compiled', 'compiled'),
        (True, True, 'standin', 'standin'),
    ],
)
def test_which_road(monkeypatch, cuda, nvcc, asked, road):
    monkeypatch.setattr(roads, 'find_nvcc', lambda: '/cuda/nvcc' if nvcc else None)
    for name in ('OPERATORS', 'FORCE_CUDA'):
        monkeypatch.delenv(name, raising=False)
    if asked:
        monkeypatch.setenv('OPERATORS', asked)
    assert roads.choose_road({'cuda': cuda}) == road


def test_an_unknown_road_is_refused(monkeypatch):
    monkeypatch.setenv('OPERATORS', 'compile')
    with pytest.raises(SetupError, match='standin or compiled'):
        roads.choose_road({'cuda': False})


def environment(versions, own=True, python='3.11.7'):
    """An environment with these distributions, without asking a Python."""
    made = Environment.__new__(Environment)
    made.python, made.own = Path('/somewhere/venv/bin/python'), own
    made.state, made.redo = {'versions': versions, 'python': python}, False
    return made


@pytest.mark.parametrize(
    ('asked', 'there', 'line'),
    [
        (None, {}, 'upstream'),
        ('onedl', {}, 'onedl'),
        (None, {'onedl-mmdetection': '3.5.1'}, 'onedl'),
        ('upstream', {'mmdet': '3.3.0'}, 'upstream'),
    ],
)
def test_which_line(monkeypatch, asked, there, line):
    monkeypatch.delenv('LINE', raising=False)
    if asked:
        monkeypatch.setenv('LINE', asked)
    assert environment(there).line == line


def test_a_python_that_a_line_does_not_run_is_refused(monkeypatch):
    monkeypatch.delenv('LINE', raising=False)
    with pytest.raises(SetupError, match=r'find_loader.*use LINE=onedl'):
        _ = environment({}, python='3.14.1').line
    monkeypatch.setenv('LINE', 'onedl')
    assert environment({}, python='3.14.1').line == 'onedl'


@pytest.mark.parametrize(
    ('asked', 'own', 'says'),
    [
        ('onedel', True, 'use onedl or upstream'),
        ('onedl', True, 'venv holds the line upstream.*LINE=onedl remove that folder'),
        ('onedl', False, 'activate another environment'),
    ],
)
def test_a_line_that_cannot_be_is_refused(monkeypatch, asked, own, says):
    monkeypatch.setenv('LINE', asked)
    with pytest.raises(SetupError, match=says):
        _ = environment({'mmdet': '3.3.0'}, own).line


@pytest.mark.parametrize('driver', [True, False])
@pytest.mark.parametrize('cuda', [True, False])
def test_cuda_without_a_driver_is_told_before_it_is_fetched(
    tmp_path, monkeypatch, capsys, driver, cuda
):
    # Stands in for pip: reports what an installation would bring.
    pip = tmp_path / 'python'
    names = ['torch', *(['nvidia-cublas', 'nvidia-cudnn-cu13'] if cuda else [])]
    report = json.dumps({'install': [{'metadata': {'name': x}} for x in names]})
    pip.write_text(
        '#!/bin/sh\nwhile [ "$1" != --report ]; do shift; done\n'
        f'echo \'{report}\' > "$2"\n'
    )
    pip.chmod(0o755)
    env = environment({'pip': '24.0'})
    env.python, env.notes = pip, tmp_path / 'notes'
    monkeypatch.setattr(packages, 'has_nvidia_driver', lambda: driver)
    packages.warn_of_cuda_download(env)
    told = capsys.readouterr().out
    assert ('2 CUDA packages' in told) == (cuda and not driver)
    assert ("TORCH_SPEC='" in told) == (cuda and not driver)


def test_what_the_compiled_package_replaces_goes_first(tmp_path):
    # Afterwards, pip would delete files that both list.
    called = []
    torch_state = {'version': '2.13.0+cpu', 'cuda': False}
    env = SimpleNamespace(
        python=Path(sys.executable),
        state={
            'torch': torch_state,
            'python': '3.11.7',
            'versions': {'mmcv-lite': '2.1.0', standin_wheel.NAME: '1'},
        },
        pip=lambda args, what: called.append(args) or '',
        ops_error=lambda: '',
        notes=tmp_path,
    )
    replaced = ['mmcv-lite', standin_wheel.NAME, 'never-there']
    installer = MmcvInstaller(env, 'mmcv', '2.1.0', replaced)
    for _ in range(2):
        assert installer._try(tmp_path / 'mmcv.whl', 'the cache')
    assert called[0] == ['uninstall', '-y', 'mmcv-lite', standin_wheel.NAME]
    assert [args[0] for args in called[1:]] == ['install', 'install']


@pytest.mark.parametrize('named', [True, False])
def test_an_older_pip_that_would_fetch_it_all_is_not_asked(monkeypatch, capsys, named):
    monkeypatch.setattr(packages, 'has_nvidia_driver', lambda: False)
    monkeypatch.setattr(sys, 'platform', 'linux')
    monkeypatch.delenv('TORCH_SPEC', raising=False)
    if named:
        monkeypatch.setenv('TORCH_SPEC', 'torch==2.9.0')
    packages.warn_of_cuda_download(environment({'pip': '23.2.1'}))
    assert ('several GB' in capsys.readouterr().out) == (not named)
