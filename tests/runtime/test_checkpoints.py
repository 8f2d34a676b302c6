"""Safe loading: mmengine's own content passes, anything that runs code does not."""

import builtins
import functools
import importlib
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mmdet_qrpaq import runtime
from mmdet_qrpaq.errors import ConfigError
from mmdet_qrpaq.runtime.checkpoints import force_weights_only, read_checkpoint


def mmengine_content() -> dict:
    """The kinds of objects that real checkpoints hold beside tensors."""
    history = HistoryBuffer([1.5, 2.5], [1, 2])
    history.update(4.0)
    return dict(
        state_dict=dict(weight=torch.arange(3.0)),
        message_hub=dict(
            log_scalars={'train/loss': history},
            runtime_info=dict(
                best_score=np.float32(0.25),
                eta=np.float64(12.0),
                epoch=np.int64(3),
                flag=np.bool_(True),
            ),
        ),
        meta=dict(dataset_meta=dict(classes=('a', 'b'), palette=[(1, 2, 3)])),
    )


def rename_numpy_core(path: Path, old: bytes, new: bytes) -> None:
    """Make a checkpoint look as if another major version of NumPy had written it."""
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, 'w') as target:
        for name, data in parts.items():
            if name.endswith('data.pkl'):
                assert old in data or new in data
                data = data.replace(old, new)
            target.writestr(name, data)


@pytest.mark.parametrize('core', [b'cnumpy.core.', b'cnumpy._core.'])
def test_mmengine_content_survives(tmp_path: Path, core: bytes) -> None:
    path = tmp_path / 'a.pth'
    torch.save(mmengine_content(), path)
    other = b'cnumpy._core.' if core == b'cnumpy.core.' else b'cnumpy.core.'
    rename_numpy_core(path, other, core)
    importlib.reload(runtime)  # another test's load may have cut torch's list since
    loaded = torch.load(path)  # as mmengine calls it: safe by default
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert type(history) is HistoryBuffer
    np.testing.assert_array_equal(history.data[0], [1.5, 2.5, 4.0])
    # (1.5 + 2.5 + 4) / (1 + 2 + 1)
    assert history.mean() == 2.0
    assert loaded['message_hub']['runtime_info'] == dict(
        best_score=0.25, eta=12.0, epoch=3, flag=True
    )


class Attack:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize(
    ('function', 'arguments', 'named'),
    [
        (os.system, ('touch {mark}',), 'system'),
        (builtins.eval, ("open('{mark}', 'w')",), 'eval'),
        (builtins.getattr, (HistoryBuffer, '__init__'), 'getattr'),
        (builtins.getattr, (np.ndarray, 'tofile'), 'getattr'),
    ],
)
@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_and_not_run(
    tmp_path: Path, function: Callable, arguments: tuple, named: str, zipped: bool
) -> None:
    mark = tmp_path / 'mark'
    arguments = [
        part.format(mark=mark) if isinstance(part, str) else part for part in arguments
    ]
    path = tmp_path / 'evil.pth'
    content = dict(mmengine_content(), extra=Attack(function, *arguments))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ConfigError, match=r'evil\.pth is refused.*' + named) as refusal:
        read_checkpoint(str(path))
    assert '\n' not in str(refusal.value)
    with pytest.raises(Exception, match='Weights only load failed'):
        torch.load(path)
    assert not mark.exists()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder's files can be fetched."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


@pytest.fixture
def unforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: nothing has made torch's loads safe yet."""
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD')


def test_an_address_is_read_as_a_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unforced: None
) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'fetched'))
    mark = tmp_path / 'mark'
    content = mmengine_content()
    torch.save(content, tmp_path / 'good.pth')
    attack = Attack(os.mkdir, str(mark))
    torch.save(dict(content, extra=attack), tmp_path / 'evil.pth')
    with served(tmp_path) as address:
        good = read_checkpoint(f'{address}/good.pth')
        with pytest.raises(ConfigError, match=r'evil\.pth is refused.*mkdir'):
            read_checkpoint(f'{address}/evil.pth')
    assert torch.equal(good['state_dict']['weight'], content['state_dict']['weight'])
    assert type(good['message_hub']['log_scalars']['train/loss']) is HistoryBuffer
    assert not mark.exists()


def test_mmengine_runs_no_code_once_loads_are_made_safe(
    tmp_path: Path, unforced: None
) -> None:
    """OneDL's opens a refused file again without the refusal."""
    mark = tmp_path / 'mark'
    torch.save(dict(extra=Attack(os.mkdir, str(mark))), tmp_path / 'evil.pth')
    force_weights_only()
    with pytest.raises(Exception, match='Weights only load failed'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'evil.pth'), 'cpu')
    assert not mark.exists()


def test_the_users_own_word_on_safe_loading_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unforced: None
) -> None:
    """torch refuses to load anything where both of its variables are set."""
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    path = tmp_path / 'good.pth'
    torch.save(mmengine_content(), path)
    force_weights_only()
    assert read_checkpoint(str(path))['message_hub']


@pytest.mark.parametrize('kept', [0, 10, 0.5, 0.99])
def test_half_written_file(tmp_path: Path, kept: float) -> None:
    path = tmp_path / 'epoch_3.pth'
    torch.save(mmengine_content(), path)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(ConfigError, match=r'epoch_3\.pth is damaged'):
        read_checkpoint(str(path))


def test_not_a_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ConfigError, match='holds a list'):
        read_checkpoint(str(tmp_path / 'list.pth'))


def test_a_list_that_another_load_has_cut_is_made_whole(tmp_path):
    if not hasattr(torch.serialization, 'safe_globals'):
        pytest.skip('torch 2.5 or newer')
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict={}, message_hub=HistoryBuffer([1.0], [1])), path)
    with torch.serialization.safe_globals([HistoryBuffer]):
        pass
    assert HistoryBuffer not in torch.serialization.get_safe_globals()
    assert read_checkpoint(str(path))['message_hub'].current() == 1.0
