import subprocess
import sys


def test_numpy_part_does_not_import_torch():
    program = (
        "import sys, numpy as np\n"
        "from rleseg_core.spec import MaskSpec\n"
        "from rleseg_core.tokens import Tokenizer, preset\n"
        "t = Tokenizer.build(preset('binary'), MaskSpec(size=(4, 4), class_names=('cell',)))\n"
        "t.decode(t.encode(np.eye(4, dtype=np.uint8)[None]))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
