"""Files of one's own that are refused: what is typed, what lies around, the exit code, the words."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def image(width: int, height: int, mode: str = "L", colour: Any = 0, form: str = "PNG", frames: int = 1) -> bytes:
    file, picture = BytesIO(), Image.new(mode, (width, height), colour)
    more = {
        "save_all": True,
        "append_images": [Image.new(mode, (width, height), 50 + 50 * k) for k in range(frames - 1)],
    }
    picture.save(file, form, **more if frames > 1 else {})
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zeros(count: int) -> bytes:
    """Return an .npz of so many zeros, packed: a few kB that would become MB."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(np.zeros((count // 784, 28, 28), np.uint8)))
    return file.getvalue()


BYTES = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)


def bomb() -> bytes:
    """Return a PNG whose header, its checksum right, says that it has 3.6 billion pixels."""
    data, header = image(32, 32), b"IHDR" + struct.pack(">II", 60000, 60000)
    start = data.index(b"IHDR")
    header += data[start + 12 : start + 17]
    return data[:start] + header + struct.pack(">I", zlib.crc32(header)) + data[start + 21 :]


FILES: dict[str, bytes] = {
    "good.csv": b"x,y,class\n0,1,a\n1,0.5,b\n2,3,a\n",
    "hole.csv": b"# made by hand\nx,y\n0,1\n\n1,nan\n",
    "infinite.csv": b"0,1\n1,1e39\n",
    "constant.csv": b"x,y,z\n0,7,1\n1,7,0\n",
    "uneven.csv": b"x,y\n0,1\n1,2\n3\n",
    "header.csv": b"x,y\n",
    "comment.csv": b"# x y\n",
    "word.csv": b"x,y\n0,1\n1,two\n",
    "one.csv": b"x,y\n0,1\n",
    "commas.csv": b"x;y\n0,5;1\n1,5;2\n",
    "decimals.csv": b"0,5;1,25\n1,5;2,25\n",
    "pandas.csv": b",x,y\n0,1,2\n1,4,3\n",
    "quote.csv": b'x,y\n"' + b"1" * 200_000 + b'",2\n',
    "latin.csv": "x,größe\n0,1\n".encode("latin-1"),
    "wide.csv": ",".join(["1"] * 10_001).encode(),
    "nameless.csv": b"x,y,label\n0,1,a\n1,2,\n",
    "none.csv": b"x,y,label\n0,1,a\n1,2,none\n",
    "many.csv": b"x,label\n" + b"".join(b"%d,c%d\n" % (k, k) for k in range(1001)),
    "labels.csv": b"label\na\nb\n",
    "cube.npy": npy(np.zeros((2, 3, 4))),
    "object.npy": b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(117)
    + b"\n",
    "complex.npy": npy(np.zeros((3, 2), complex)),
    "short.npy": npy(np.arange(20.0).reshape(10, 2))[:-8],
    "nothing.npy": npy(np.zeros((0, 2))),
    "half.npy": npy([[0, 1, 0.5], [1, 2, 1]]),
    "label.npy": npy([[0, 1, np.inf], [1, 2, 1]]),
    "still.csv": b"x,y,z,w\n1,7,2,3\n1,8,2,4\n",
    "same.csv": b"x,y,label\n1,7,a\n1,7,b\n",
    "constant.npy": npy([[0, 1], [1, 1]]),
    "nan.npy": npy([[0, 1], [1, np.nan]]),
    "keys.npz": npz(pixels=BYTES),
    "no-images.npz": npz(images=np.zeros((0, 8, 8), np.uint8)),
    "object.npz": npz(images=np.array([BYTES[0], BYTES[0][:4]], dtype=object)),
    "five.npz": npz(images=np.zeros((9, 8, 8, 5), np.uint8)),
    "pixel.npz": npz(images=np.zeros((9, 1, 1), np.uint8)),
    "range.npz": npz(images=BYTES - 300.0),
    "nan.npz": npz(images=np.where(BYTES[1, 2, 3] == BYTES, np.nan, BYTES / 255)),
    "same.npz": npz(images=np.repeat(BYTES[:1], 9, 0)),
    "fewer.npz": npz(images=BYTES, labels=np.arange(5)),
    "minus.npz": npz(images=BYTES, labels=np.array([0, 1, 2, -1] * 3)),
    "labels.npz": npz(images=BYTES, labels=np.arange(12)),
    "float.npz": npz(images=BYTES, labels=np.arange(12) / 2),
    "split.npz": npz(images=BYTES, split=np.ones(12)),
    "bomb.npz": zeros(100_000_000),
    "text.npz": b"dear reader\n",
    "one.npz": npz(images=BYTES[:1]),
    "pics/a/1.png": image(16, 16),
    "pics/a/2.png": image(16, 16, colour=9),
    "pics/b/1.png": image(20, 16),
    "pics/b/bomb.png": bomb(),
    "pics/b/cut.jpg": image(64, 64, "RGB", form="JPEG")[:-40],
    "pics/b/film.gif": image(16, 16, form="GIF", frames=3),
    "pics/b/page.png": b"<html>not found</html>",
    "pics/b/empty.png": b"",
    "pics/none/1.png": image(16, 16),
    "pics/stray.png": image(16, 16),
    "dots/1.png": image(1, 1),
    "dots/2.png": image(1, 1, colour=9),
    "texts/readme.txt": b"no picture\n",
    "white.png": image(32, 32, colour=255),
    "dark.png": image(32, 32),
    "dot.png": image(1, 1),
    "none/real.tif": image(16, 16, "F", form="TIFF"),
    "film.gif": image(16, 16, form="GIF", frames=3),
}

PICS = "pics/a/1.png pics/a/2.png"

ROWS: list[tuple[str, str, int, str]] = [
    ("data stats csv:none.csv", "", 1, "none.csv is not there"),
    ("data stats csv:hole.csv", "hole.csv", 1, "hole.csv, line 5, column `y`: nan is no finite number"),
    ("data stats csv:infinite.csv", "infinite.csv", 1, "infinite.csv, line 2, column `2`: 1e+39 is no finite number"),
    ("data show csv:constant.csv", "constant.csv", 1, 'column `y` is 7 in every row | data.columns=["x", "z"]'),
    (
        "data show csv:still.csv",
        "still.csv",
        1,
        'columns `x`, `z` never change | ["y", "w"]',
    ),
    ("data show csv:same.csv", "same.csv", 1, "same.csv: every point is the same | Give it other numbers."),
    ("data stats csv:uneven.csv", "uneven.csv", 1, "uneven.csv, line 4 has 1 column, line 1 has 2"),
    ("data stats csv:header.csv", "header.csv", 1, "header.csv holds no points: it has a header and nothing below"),
    ("data stats csv:comment.csv", "comment.csv", 1, "comment.csv holds no points: it is empty"),
    ("data stats csv:empty.csv", "empty.csv", 1, "empty.csv holds no points: it is empty"),
    ("data stats csv:word.csv", "word.csv", 1, "word.csv, line 3, column `y`: `two` is not a number | data.label"),
    ("data stats csv:commas.csv", "commas.csv", 1, "commas.csv, line 2, column `x`: `0,5` is not a number | a point"),
    (
        "data stats csv:decimals.csv",
        "decimals.csv",
        1,
        "decimals.csv, line 1, column `2`: `5;1` is not a number | a point",
    ),
    ("data stats csv:one.csv", "one.csv", 1, "one.csv holds one point"),
    ("data stats csv:pandas.csv", "pandas.csv", 1, "pandas.csv: column 1 has no name: is it a row number?"),
    ("data stats csv:quote.csv", "quote.csv", 1, "quote.csv, line 2: field larger than field limit"),
    ("data stats csv:latin.csv", "latin.csv", 1, "latin.csv is not a text in UTF-8"),
    ("data stats csv:wide.csv", "wide.csv", 1, "wide.csv has 10,001 columns, more than the 10,000 allowed"),
    ("data stats csv:nameless.csv", "nameless.csv", 1, "nameless.csv, line 3: a class cannot be called ``"),
    ("data stats csv:none.csv -n 3", "none.csv", 1, "none.csv, line 3: a class cannot be called `none`"),
    ("data stats csv:many.csv", "many.csv", 1, "many.csv: 1,001 different labels, more than the 1,000 allowed"),
    ("data stats csv:labels.csv", "labels.csv", 1, "labels.csv has no column but its labels"),
    ("data stats csv:pics", PICS, 1, "pics is a folder, not a file"),
    (
        "data stats csv:good.csv --set label=clas",
        "good.csv",
        2,
        "good.csv has no column `clas` | Did you mean `class`?",
    ),
    ("data stats csv:good.csv --set columns=[1,9]", "good.csv", 2, "good.csv has no column `9` | Known: class, x, y"),
    ("data stats csv:good.csv --set columns=[1,1]", "good.csv", 2, "a column is a coordinate once"),
    ("data stats csv:good.csv --set columns=[]", "good.csv", 2, "data.columns = []"),
    ("data stats csv:good.csv --set known=3", "good.csv", 2, "data.known"),
    ("data show csv", "", 2, "`csv` is a file of yours: which one? | csv:points.csv"),
    ("data show csv:", "", 2, "`csv` is a file of yours: which one?"),
    ("data export moons --to folder", "", 2, "a folder holds pictures, not samples of shape (2,)"),
    ("data export csv:good.csv -o none/x.csv", "good.csv", 1, "cannot write none/x.csv"),
    ("data stats npy:cube.npy", "cube.npy", 1, "cube.npy has shape (2, 3, 4), and points are (N, D) | npz:images.npz"),
    ("data stats npy:object.npy", "object.npy", 1, "object.npy holds no array of numbers"),
    ("data stats npy:complex.npy", "complex.npy", 1, "complex.npy holds no array of numbers"),
    ("data stats npy:short.npy", "short.npy", 1, "short.npy holds no array of numbers"),
    ("data stats npy:nothing.npy", "nothing.npy", 1, "nothing.npy has shape (0, 2)"),
    ("data stats npy:nan.npy", "nan.npy", 1, "nan.npy, row 2, column `2`: nan is no finite number"),
    ("data stats npy:half.npy --set label=3", "half.npy", 1, "half.npy, row 1: the label 0.5 is not a whole number"),
    ("data stats npy:label.npy --set label=3", "label.npy", 1, "label.npy, row 1: the label inf is not a whole number"),
    ("data stats npy:constant.npy", "constant.npy", 1, "column `2` is 1 in every row | Take it out of the array"),
    ("data stats npy:half.npy --set label=4", "half.npy", 2, "half.npy has no column `4`"),
    ("data stats npz:keys.npz", "keys.npz", 1, "keys.npz holds `pixels`, and none of images, x, data"),
    ("data stats npz:no-images.npz", "no-images.npz", 1, "images in no-images.npz has shape (0, 8, 8)"),
    ("data stats npz:object.npz", "object.npz", 1, "images in object.npz holds no array of numbers"),
    (
        "data stats npz:five.npz",
        "five.npz",
        1,
        "images in five.npz has shape (9, 8, 8, 5): none of that is 1 or 3 channels",
    ),
    ("data stats npz:pixel.npz", "pixel.npz", 1, "images in pixel.npz: images of 1 × 1 pixels | from 4 to 4096 across"),
    ("data stats npz:range.npz", "range.npz", 1, "has values from -300 to -45 | 0 … 1 or −1 … 1"),
    ("data stats npz:nan.npz", "nan.npz", 1, "images in nan.npz: number [1, 2, 3] is not finite"),
    ("data stats npz:same.npz", "same.npz", 1, "same.npz: all 9 images are alike"),
    ("data stats npz:fewer.npz", "fewer.npz", 1, "labels in fewer.npz has shape (5,), and there are 12 samples"),
    ("data stats npz:minus.npz", "minus.npz", 1, "labels in minus.npz[3] is -1, and labels count from 0"),
    ("data stats npz:labels.npz --set \"names=['a','b']\"", "labels.npz", 1, "[2] is 2, and there are 2 names"),
    ("data stats npz:float.npz", "float.npz", 1, "labels in float.npz[1] is 0.5, not a whole number"),
    ("data stats npz:split.npz", "split.npz", 1, "split in split.npz holds out every sample"),
    ("data stats npz:bomb.npz", "bomb.npz", 1, "bomb.npz: x.npy has 97.3 kB and unpacks to 100 MB and more"),
    ("data stats npz:text.npz", "text.npz", 1, "text.npz is not a whole zip archive"),
    ("data stats npz:one.npz", "one.npz", 1, "one.npz: it holds one image"),
    ("data stats folder:none", "none/real.tif", 1, "none/real.tif has pixels that are not of 8 or 16 bits"),
    ("data stats folder:nowhere", "", 1, "nowhere is not there"),
    ("data stats folder:white.png", "white.png", 1, "white.png is not a folder"),
    ("data stats folder:texts", "texts/readme.txt", 1, "texts holds no pictures"),
    ("data stats folder:dots", "dots/1.png dots/2.png", 1, "dots/1.png is 1 × 1 pixels | 4 across"),
    (
        "data stats folder:pics",
        f"{PICS} pics/b/1.png",
        1,
        "b/1.png is 20 × 16 pixels, pics/a/1.png 16 × 16 | data.size",
    ),
    ("data stats folder:pics -n 2", f"{PICS} pics/b/bomb.png", 1, "pics/b/bomb.png has more than the"),
    ("data stats folder:pics -n 3", f"{PICS} pics/b/cut.jpg", 1, "pics/b/cut.jpg is cut off"),
    ("data stats folder:pics -n 4", f"{PICS} pics/b/film.gif", 1, "pics/b/film.gif holds more than one frame"),
    ("data stats folder:pics -n 5", f"{PICS} pics/b/page.png", 1, "pics/b/page.png is not a picture"),
    ("data stats folder:pics -n 6", f"{PICS} pics/b/empty.png", 1, "pics/b/empty.png is not a picture"),
    ("data stats folder:pics -n 7", f"{PICS} pics/stray.png", 1, "pics/stray.png lies beside the folders of classes"),
    ("data stats folder:pics -n 8", f"{PICS} pics/none/1.png", 1, "a class cannot be called `none`"),
    ("data stats folder:pics --set size=2", PICS, 2, "data.size = 2: should be greater than or equal to 4"),
    ("data stats folder:pics --set channels=2", PICS, 2, "data.channels = 2: should be 1 or 3"),
    ("data show picture:white.png", "white.png", 1, "white.png is light everywhere | data.invert=true"),
    ("data show picture:dark.png --set invert=true", "dark.png", 1, "dark.png is dark everywhere"),
    ("data show picture:dot.png", "dot.png", 1, "dot.png is 1 × 1 pixels"),
    ("data show picture:film.gif", "film.gif", 1, "film.gif holds more than one frame"),
    ("data show picture:good.csv", "good.csv", 1, "good.csv is not a picture that can be read"),
    ("data show picture:dark.png --set threshold=1", "dark.png", 2, "data.threshold = 1: should be less than 1"),
    (
        "data show picture:dark.png --set noise=0.0001",
        "dark.png",
        2,
        "noise (0.0001) is too fine for a size of 4: give 0, or 0.00098 or more",
    ),
    ("data show picture:dark.png --set noise=-1", "dark.png", 2, "data.noise = -1: should be"),
    ("train --preset picture", "", 2, "data.path: which one? Give --set data.path=FILE"),
    ("train --preset picture --set data.path=none.png", "", 1, "none.png is not there"),
    ("train --set data.kind=csv moons", "", 2, "data.path: which one?"),
    ("train moons --data csv:good.csv --samples 4", "good.csv", 2, "n = 4 is more than the 3 points to train on"),
    ("train --data csv:hole.csv", "hole.csv", 1, "hole.csv, line 5"),
    ("train --data moon", "", 2, "unknown data set `moon` | Did you mean `moons`?"),
    ("train shapes32 --data csv:good.csv", "good.csv", 2, "network: a `unet` takes images"),
    ("train mixture1d --set data.means=[[1],[1,2]]", "", 2, "means of 1 and 2 coordinates: give all as many"),
    ("train mixture1d --set data.std=[1,2]", "", 2, "2 std for 3 modes"),
    ("sample csv:good.csv", "good.csv", 2, "`data:csv:good.csv` is a data set, not a model"),
    ("sample exact:csv:good.csv", "good.csv", 1, "`csv` has no density in closed form | exact:csv:good.csv@500"),
    ("sample exact:csv:good.csv@500", "good.csv", 2, "n = 500 is more than the 3 points to train on in good.csv"),
    ("sample exact:picture:none.png", "", 1, "none.png is not there"),
    ("inspect picture:dark.png", "", 2, "is the data set picture:dark.png | toydiff data stats picture:dark.png"),
]
