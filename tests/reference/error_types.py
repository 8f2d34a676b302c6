"""TIDE's error types by plain loops over what pycocotools has matched."""

import numpy as np
from pycocotools import mask

KINDS = ('Loc', 'Cls', 'Dupe', 'Bkg', 'Both')


def average_precision(rows, num_objects):
    """AP of (score, right), at COCO's 101 recalls; 0 without objects."""
    if not num_objects:
        return 0.0
    rows = sorted(rows, key=lambda row: -row[0])
    hits = np.cumsum([right for _, right in rows])
    precision = hits / np.arange(1, len(rows) + 1)
    recall = hits / num_objects
    reached = [precision[recall >= least] for least in np.linspace(0, 1, 101)]
    return sum(part.max() for part in reached if len(part)) / 101


def error_types(evaluator, counting, objects, high=0.5, low=0.1):
    """Return AP, counts and what AP would gain; as `hotcoco` names the kinds.

    Args:
        counting: Ids of detections, in the order in which equal scores are ranked.
        objects: Of the right ones.
    """
    truth = {
        name: row for name, row in evaluator.cocoGt.anns.items() if not row['iscrowd']
    }
    found = {name: evaluator.cocoDt.anns[name] for name in counting}
    taken = set(objects.values())
    kinds, target = {}, {}
    for name, row in found.items():
        if name in objects:
            continue
        here = [t for t in truth.values() if t['image_id'] == row['image_id']]
        same, other = {}, {}
        for t in here:
            iou = float(mask.iou([row['bbox']], [t['bbox']], [0])[0, 0])
            mine = t['category_id'] == row['category_id']
            (same if mine else other)[t['id']] = iou
        best, wrong = (max(part, key=part.get, default=None) for part in (same, other))
        if best and low <= same[best] <= high:
            kinds[name], target[name] = 'Loc', best
        elif wrong and other[wrong] >= high:
            kinds[name], target[name] = 'Cls', wrong
        elif best and same[best] >= high:
            kinds[name] = 'Dupe'
        elif max([*same.values(), *other.values()], default=0) <= low:
            kinds[name] = 'Bkg'
        else:
            kinds[name] = 'Both'
    missed = [t for t in truth if t not in taken and t not in target.values()]
    # Of several that could be mended to find one object, the surest is.
    surest = {}
    for name, goal in target.items():
        score = found[name]['score']
        if goal not in taken and score > surest.get(goal, (-1,))[0]:
            surest[goal] = score, name
    surest = {name for _, name in surest.values()}
    classes = sorted({row['category_id'] for row in truth.values()})

    def ap(mended=None):
        sizes = {c: sum(t['category_id'] == c for t in truth.values()) for c in classes}
        rows = {c: [] for c in classes}
        for name, row in found.items():
            category, right = row['category_id'], name in objects
            if not right and kinds[name] == mended:
                if name not in surest:
                    continue
                category, right = truth[target[name]]['category_id'], True
            rows.setdefault(category, []).append((row['score'], right))
        for t in missed if mended == 'Miss' else ():
            sizes[truth[t]['category_id']] -= 1
        each = [average_precision(rows[c], sizes[c]) for c in classes]
        return sum(each) / len(each) if each else 0.0

    counts = {kind: list(kinds.values()).count(kind) for kind in KINDS}
    counts['Miss'] = len(missed)
    return ap(), counts, {kind: ap(kind) - ap() for kind in counts}
