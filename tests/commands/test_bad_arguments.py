"""Command lines that are wrong: one line, status 2, nothing written."""

import json

from spoiled import (
    UPSCALE,
    image,
    nothing,
    of,
    refusal,
    write,
)

NEEDS_DEEP_JSON = '{"format": 1, "images": ' + "[" * 100_000


DRAW = "attention hr/0001.png -o out.png --weights clit.pth"
CROPS = "figure crops hr/0001.png -o out.png --scale 2"
COMMANDS = {
    "no such command": (nothing, "upscal", "invalid choice: 'upscal'"),
    "no size": (nothing, "upscale hr/0001.png -o out.png --weights clit.pth", "give one of --scale"),
    "two sizes": (nothing, f"{UPSCALE} clit.pth --width 200", "give only one of --scale and --width"),
    "a scale of a word": (
        nothing,
        f"{UPSCALE} clit.pth --scale two",
        "--scale: expected a factor, such as 3.4, got two",
    ),
    "a scale of nan": (nothing, f"{UPSCALE} clit.pth --scale nan", "at least 1 and less than 10000, got nan"),
    "an infinite scale": (nothing, f"{UPSCALE} clit.pth --scale inf", "at least 1 and less than 10000, got inf"),
    "a scale of less than 1": (nothing, f"{UPSCALE} clit.pth --scale 0.5", "at least 1 and less than 10000, got 0.5"),
    "more than memory": (nothing, f"{UPSCALE} clit.pth --scale 9999", "use a smaller scale or size"),
    "a tile of 3": (nothing, f"{UPSCALE} clit.pth --tile 3", "--tile: expected a multiple of 8"),
    "no queries": (nothing, f"{UPSCALE} clit.pth --max-queries 0", "--max-queries: expected at least 1"),
    "the device meta": (nothing, f"{UPSCALE} clit.pth --device meta", "--device meta: not available"),
    "a device that is none": (nothing, f"{UPSCALE} clit.pth --device toaster", "--device toaster: not available"),
    "a GPU too many": (nothing, f"{UPSCALE} clit.pth --device cuda:99", "--device cuda:99: not available"),
    "a format that is none": (nothing, f"{UPSCALE} clit.pth -o out.xyz", "out.xyz: unknown image format"),
    "an output that is there": (image("out.png"), f"{UPSCALE} clit.pth", "already exists; --overwrite replaces"),
    "the image as output": (nothing, f"{UPSCALE} clit.pth -o hr/0001.png --overwrite", "the image itself"),
    "the image as figure": (nothing, f"{CROPS} -o hr/0001.png --overwrite", "the image itself"),
    "the image as drawing": (nothing, f"{DRAW} --scale 2 --at 3,3 -o hr/0001.png --overwrite", "the image itself"),
    "a query outside": (nothing, f"{DRAW} --scale 2 --at 300,3", "--at 300,3: outside the image"),
    "a query that is none": (nothing, f"{DRAW} --scale 2 --at here", "--at here: expected X,Y"),
    "a drawing at inf": (nothing, f"{DRAW} --scale inf --at 3,3", "--scale: expected at least 1"),
    "a crop outside": (nothing, f"{CROPS} --crop 0,0,500x5", "--crop 0,0,500x5: not inside"),
    "a crop that is none": (nothing, f"{CROPS} --crop all", "--crop all: expected X,Y,WxH"),
    "a system without a file": (nothing, f"{CROPS} --system CLIT", "--system CLIT: expected NAME=FILE"),
    "nothing to test": (nothing, "test", "--weights: missing"),
    "a test at inf": (nothing, "test --weights clit.pth --folder a=hr --scales inf", "--scales: expected numbers"),
    "a test of nothing": (nothing, "test --weights clit.pth --folder a=none --scales 2", "none"),
    "a report of nothing": (nothing, "report none", "none: no such file or folder of results"),
    "a report of a picture": (nothing, "report hr/0001.png", "0001.png: not a result of 'clit test'"),
    "a report of deep JSON": (write("deep.json", NEEDS_DEEP_JSON), "report deep.json", "deep.json: not a result"),
    "a report of other JSON": (write("x.json", json.dumps([1, {}])), "report x.json", "x.json: not a result"),
    "an LMDB with another name": (nothing, "prepare hr -o hr2", "the output's name must end in .lmdb"),
    "a step wider than its image": (nothing, "prepare hr -o x.lmdb --sub-image 8 --step 9", "--step 9 is larger"),
    "a sub-image wider than images": (nothing, "prepare hr -o x.lmdb --sub-image 0", "expected a whole number above 0"),
    "an LMDB that is there": (nothing, "prepare hr -o hr.lmdb --keep-extension", "already exists"),
    "an LMDB with foreign files": (
        write("hr.lmdb/mine.txt", "mine"),
        "prepare hr -o hr.lmdb --keep-extension --overwrite",
        "not replaced, as it also holds mine.txt",
    ),
    "weights of ours to convert": (nothing, "convert clit.pth -o out.pth", "expected a checkpoint of the original"),
    "weights converted onto themselves": (nothing, "convert clit.pth -o clit.pth --overwrite", "the checkpoint itself"),
    "an option file that is not shipped": (nothing, "options show none.yml", "no such option file in the package"),
    "options for no photographs": (nothing, "options new --images none", "none: no such folder of images"),
}


@of(COMMANDS)
def test_bad_command_lines_are_refused_in_one_line(place, capsys, change, command, message):
    change()
    assert message in refusal(capsys, command)
