"""How good detections are: average precision of Pascal VOC and of COCO.

Detections and truths come as lists with one dict an image, as torchvision has them:
    detection  {"boxes" (D, 4), "scores" (D,), "labels" (D,)}
    truth      {"boxes" (G, 4), "labels" (G,)} and, if wanted, "difficult" (G,) (VOC) or "iscrowd" (G,), "area" (G,) (COCO)

Ref  Everingham et al. 2010, "The Pascal VOC Challenge", section 4.2; Lin et al. 2014, "Microsoft COCO" (cocoeval).
"""

import numpy as np

from fastdl.detection.boxes import array, box_ioa, box_iou, check_boxes

COCO_IOUS = np.round(np.arange(0.5, 1.0, 0.05), 2)
COCO_AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}


def average_precision(detections, truths, iou=0.5, method="area"):
    """Average precision of one class; NaN where there is no truth to be found.

    Greedy, in order of falling score over all images: a detection is right if the truth it overlaps most does so by at least `iou`
    and has not been found before; a later one for the same truth is wrong. Truths marked difficult, and detections of
    them, count neither way.

    detections  [(boxes (D, 4), scores (D,)), ...], an image each
    truths      [(boxes (G, 4), difficult (G,) or None), ...]
    method      "area": the area under the precision made falling (VOC 2010 on); "voc11": its mean at recall 0, .1, ... 1
    """
    recall, precision = precision_recall(detections, truths, iou)
    return _average(recall, precision, method) if recall is not None else float("nan")


def precision_recall(detections, truths, iou=0.5):
    """(recall, precision), each (D,), after each detection in order of falling score; (None, None) without a truth."""
    if len(detections) != len(truths):
        raise ValueError(f"average_precision: {len(detections)} images with detections, {len(truths)} with truths")
    scores, right, ignored, total = [], [], [], 0
    for (boxes, values), (wanted, difficult) in zip(detections, truths):
        boxes, wanted, values = check_boxes(boxes), check_boxes(wanted), array(values)
        if len(values) != len(boxes):
            raise ValueError(f"average_precision: {len(boxes)} boxes and {len(values)} scores")
        hard = np.zeros(len(wanted), bool) if difficult is None else array(difficult).astype(bool)
        total += int((~hard).sum())
        hit, skip = _match(boxes, values, wanted, hard, iou)
        scores.append(values), right.append(hit), ignored.append(skip)
    if not total:
        return None, None
    scores = np.concatenate(scores)
    order = np.argsort(-scores, kind="stable")
    counted = ~np.concatenate(ignored)[order]
    right = np.concatenate(right)[order][counted]
    found = np.cumsum(right)
    return found / total, found / np.arange(1, len(right) + 1)


def _match(boxes, scores, wanted, hard, iou):
    """(right (D,), ignored (D,)) for one image."""
    right, ignored = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    if not len(wanted) or not len(boxes):
        return right, ignored
    overlap = box_iou(boxes, wanted)
    best = overlap.argmax(1)
    taken = np.zeros(len(wanted), bool)
    for d in np.argsort(-scores, kind="stable"):
        t = best[d]
        if overlap[d, t] < iou:
            continue
        if hard[t]:
            ignored[d] = True
        elif not taken[t]:
            right[d] = taken[t] = True
    return right, ignored


def _average(recall, precision, method):
    if method == "voc11":
        return float(np.mean([precision[recall >= t].max(initial=0) for t in np.arange(11) / 10]))
    if method != "area":
        raise ValueError(f"average_precision: method must be 'area' or 'voc11'; got {method!r}")
    recall = np.concatenate([[0], recall])
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * falling).sum())


def mean_average_precision(detections, truths, iou=0.5, method="area"):
    """{"map": mean over the classes that occur in the truths, "per_class": {label: average precision}}.

    Classes that are detected and never true do not count (VOC's rule). NaN where the truths are empty.
    """
    _check(detections, truths)
    labels = sorted({int(c) for t in truths for c in array(t["labels"]).reshape(-1)})
    per_class = {}
    for c in labels:
        found, wanted = [], []
        for d, t in zip(detections, truths):
            mine, its = array(d["labels"]) == c, array(t["labels"]).reshape(-1) == c
            found.append((check_boxes(d["boxes"])[mine], array(d["scores"])[mine]))
            hard = t.get("difficult")
            wanted.append((check_boxes(t["boxes"])[its], None if hard is None else array(hard)[its]))
        per_class[c] = average_precision(found, wanted, iou, method)
    values = [v for v in per_class.values() if not np.isnan(v)]
    return {"map": float(np.mean(values)) if values else float("nan"), "per_class": per_class}


def _check(detections, truths):
    if len(detections) != len(truths):
        raise ValueError(f"detections for {len(detections)} images and truths for {len(truths)}")
    for name, group, keys in (
        ("detection", detections, ("boxes", "scores", "labels")),
        ("truth", truths, ("boxes", "labels")),
    ):
        for i, item in enumerate(group):
            lengths = {k: len(array(item[k])) for k in keys if k in item}
            if len(lengths) != len(keys) or len(set(lengths.values())) != 1:
                raise ValueError(f"{name} {i} needs {', '.join(keys)} of equal length; got {lengths}")


# ------------------------------------------------------------------------------------------------------------- COCO


def coco_evaluate(detections, truths, max_detections=(1, 10, 100)):
    """The twelve numbers of COCO: {"map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10",
    "mar_100", "mar_small", "mar_medium", "mar_large"}; -1 where no truth is of that size.

    Precision is averaged over 101 recalls and, for map, over IoU .50, .55, ... .95; recall over the same. Each detection
    takes the truth it overlaps most among those not yet taken. Crowd truths and truths outside the range of areas are ignored.
    """
    _check(detections, truths)
    labels = sorted({int(c) for t in truths for c in array(t["labels"]).reshape(-1)})
    most = max(max_detections)
    tables = {
        area: [_coco_class(detections, truths, c, limits, most) for c in labels] for area, limits in COCO_AREAS.items()
    }
    out = {}
    for name, area, at in (("map", "all", None), ("map_50", "all", 0), ("map_75", "all", 5), *(
        (f"map_{a}", a, None) for a in ("small", "medium", "large")
    )):  # fmt: skip
        values = [_coco_precision(table)[slice(None) if at is None else at] for table in tables[area] if table[1]]
        out[name] = float(np.mean(values)) if values else -1.0
    for name, area, n in (*((f"mar_{n}", "all", n) for n in max_detections), *(
        (f"mar_{a}", a, most) for a in ("small", "medium", "large")
    )):  # fmt: skip
        values = [_coco_recall(table, n) for table in tables[area] if table[1]]
        out[name] = float(np.mean(values)) if values else -1.0
    return out


def _coco_class(detections, truths, label, limits, most):
    """([(scores (D,), right (T, D), ignored (T, D)) of each image], number of truths that count)."""
    rows, total = [], 0
    for d, t in zip(detections, truths):
        mine, its = array(d["labels"]) == label, array(t["labels"]).reshape(-1) == label
        boxes, scores = check_boxes(d["boxes"])[mine].astype(np.float64), array(d["scores"])[mine]
        order = np.argsort(-scores, kind="stable")[:most]
        boxes, scores = boxes[order], scores[order]
        wanted = check_boxes(t["boxes"])[its].astype(np.float64)
        crowd = array(t["iscrowd"])[its].astype(bool) if "iscrowd" in t else np.zeros(len(wanted), bool)
        size = array(t["area"])[its] if "area" in t else (wanted[:, 2:] - wanted[:, :2]).prod(1)
        skip = crowd | (size < limits[0]) | (size > limits[1])
        total += int((~skip).sum())
        rows.append((scores, *_coco_match(boxes, wanted, crowd, skip, limits)))
    return rows, total


def _coco_match(boxes, wanted, crowd, skip, limits):
    """(right (T, D), ignored (T, D)) of one image and class; boxes in order of falling score."""
    T, D, G = len(COCO_IOUS), len(boxes), len(wanted)
    right, ignored = np.zeros((T, D), bool), np.zeros((T, D), bool)
    order = np.argsort(skip, kind="stable")  # truths that count come first
    wanted, crowd, skip = wanted[order], crowd[order], skip[order]
    overlap = np.where(crowd, box_ioa(boxes, wanted), box_iou(boxes, wanted)) if D and G else np.zeros((D, G))
    for i, least in enumerate(COCO_IOUS):
        taken = np.zeros(G, bool)
        for d in range(D):
            value, found = min(least, 1 - 1e-10), -1
            for g in range(G):
                if taken[g] and not crowd[g]:
                    continue
                if found >= 0 and not skip[found] and skip[g]:
                    break  # a truth that counts is better than any that does not
                if overlap[d, g] < value:
                    continue
                value, found = overlap[d, g], g
            if found >= 0:
                taken[found] = True
                ignored[i, d], right[i, d] = skip[found], not skip[found]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    ignored |= ~right & ((area < limits[0]) | (area > limits[1])) & ~ignored
    return right, ignored


def _coco_precision(table):
    """(T,) precision averaged over 101 recalls."""
    rows, total = table
    scores = np.concatenate([r[0] for r in rows])
    order = np.argsort(-scores, kind="mergesort")
    right, ignored = (np.concatenate([r[i] for r in rows], 1)[:, order] for i in (1, 2))
    out = np.zeros(len(COCO_IOUS))
    for i in range(len(out)):
        hits = right[i, ~ignored[i]]
        found = np.cumsum(hits)
        recall, precision = found / total, found / (np.arange(1, len(hits) + 1) + np.spacing(1))
        falling = np.concatenate([np.maximum.accumulate(precision[::-1])[::-1], [0]])
        out[i] = falling[np.searchsorted(recall, np.linspace(0, 1, 101), side="left")].mean()
    return out


def _coco_recall(table, most):
    """Recall averaged over the thresholds, at most `most` detections an image."""
    rows, total = table
    found = sum((r[1][:, :most]).sum(1) for r in rows)
    return float(np.mean(found / total))
