"""Learn to write verse: a character-level GPT, trained on the ghazals of Hafez. This is `make hafez`.

    python examples/hafez.py              # about two minutes on two cores
    python examples/hafez.py --resume     # goes on where an interrupted run saved last, with the same numbers
    python examples/hafez.py --sample     # another verse from the trained model, each time

The model is written as books write one: embeddings, causal attention, layer norm, GELU, dropout. The whole training step
(gradients, clipping, AdamW, the schedule) is one compiled call; a verse is written one character at a time, each attending to the
keys and values that are kept of those before it. `examples/data/README.md` names the source of the poems.
"""

import argparse
import math
import shutil
import sys
import time
from pathlib import Path

import mashal as torch
from mashal import nn
from mashal.nn import functional as F

HERE = Path(__file__).parent
CHECKPOINT = HERE.parent / "build" / "hafez.pth"
PICTURE = HERE.parent / "build" / "hafez.svg"
CONTEXT, WIDTH, HEADS, LAYERS, DROPOUT = 64, 160, 5, 4, 0.05
BATCH, STEPS, WARMUP, RATE = 16, 4000, 100, 3e-3
EVERY = 100  # steps between two looks at the validation loss, and between two checkpoints
PARTS = ("model", "optimizer", "schedule")  # of the training, whose states a checkpoint keeps


# ---------------------------------------------------------------- data
class Poems:
    """The text as numbers: nine tenths to learn from, one tenth to be held against."""

    def __init__(self, path):
        text = path.read_text(encoding="utf-8")
        self.characters = sorted(set(text))
        number = {c: i for i, c in enumerate(self.characters)}
        numbers = torch.tensor([number[c] for c in text])
        cut = len(numbers) * 9 // 10
        self.train, self.validation = numbers[:cut], numbers[cut:]

    def batch(self, numbers, size=BATCH):
        """Random pieces of text, and the same one character on: (size, CONTEXT) each."""
        starts = torch.randint(0, len(numbers) - CONTEXT, (size, 1))
        places = starts + torch.arange(CONTEXT)
        return numbers[places], numbers[places + 1]


# ---------------------------------------------------------------- the model
class Attention(nn.Module):
    """Each character looks at itself and those before it, in several ways at once."""

    def __init__(self):
        super().__init__()
        self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.register_buffer("future", torch.triu(torch.ones(CONTEXT, CONTEXT), diagonal=1).bool(), persistent=False)

    def heads(self, x):
        """(batch, time, 3 · width) as queries, keys and values, each (batch, heads, time, width of a head)."""
        batch, time, _ = x.shape
        parts = self.queries_keys_values(x).view(batch, time, 3, HEADS, WIDTH // HEADS)
        return parts.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x):
        batch, time, _ = x.shape
        q, k, v = self.heads(x)
        scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)  # (batch, heads, time, time)
        scores = scores.masked_fill(self.future[:time, :time], -torch.inf)
        weights = self.dropout(torch.softmax(scores, dim=-1))
        return self.output((weights @ v).transpose(1, 2).reshape(batch, time, WIDTH))

    def next(self, x, place, keys, values):
        """The same for one new character at `place`; keys and values (1, heads, CONTEXT, width of a head) keep those before."""
        q, k, v = self.heads(x)
        keys.index_copy_(2, place, k)
        values.index_copy_(2, place, v)
        scores = q @ keys.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        scores = scores.masked_fill(self.future[place], -torch.inf)
        return self.output((torch.softmax(scores, dim=-1) @ values).transpose(1, 2).reshape(1, 1, WIDTH))


class Block(nn.Module):
    """Attention, then a small network for each character; each adds to what it was given."""

    def __init__(self):
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.network = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x):
        x = x + self.dropout(self.attention(self.before_attention(x)))
        return x + self.dropout(self.network(self.before_network(x)))

    def next(self, x, place, keys, values):
        x = x + self.attention.next(self.before_attention(x), place, keys, values)
        return x + self.network(self.before_network(x))


class GPT(nn.Module):
    """Scores of the next character, for every place of a text."""

    def __init__(self, characters):
        super().__init__()
        self.characters = nn.Embedding(characters, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.scores = nn.Linear(WIDTH, characters, bias=False)
        for name, p in self.named_parameters():
            if name.endswith("weight") and p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, numbers):
        x = self.characters(numbers) + self.places(torch.arange(numbers.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.scores(self.norm(x))

    def next(self, number, place, kept):
        """Scores after one more character. kept: (keys, values) of each block, which this call adds to."""
        x = self.characters(number) + self.places(place)
        for block, (keys, values) in zip(self.blocks, kept):
            x = block.next(x, place, keys, values)
        return self.scores(self.norm(x))


# ---------------------------------------------------------------- training
class Training:
    """Everything that a checkpoint holds, and the compiled step."""

    def __init__(self, poems, steps):
        torch.manual_seed(123)
        self.poems, self.steps, self.done, self.losses = poems, steps, 0, []
        self.model = GPT(len(poems.characters))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.share)
        self.step = torch.compile(self.step_as_written)
        self.loss = torch.compile(self.loss_as_written)

    def share(self, step):
        """Of the full learning rate: it rises, then falls along a cosine to a tenth."""
        rest = (step - WARMUP) / max(self.steps - WARMUP, 1)
        return (step + 1) / WARMUP if step < WARMUP else 0.1 + 0.45 * (1 + math.cos(math.pi * min(rest, 1.0)))

    def loss_as_written(self, numbers, following):
        return F.cross_entropy(self.model(numbers).flatten(0, 1), following.flatten())

    def step_as_written(self, numbers, following):
        self.optimizer.zero_grad()
        loss = self.loss_as_written(numbers, following)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    @torch.no_grad()
    def validate(self):
        """The mean loss on text that the model doesn't learn from; draws its own random numbers."""
        state = torch.get_rng_state()
        torch.manual_seed(0)
        self.model.eval()
        loss = sum(self.loss(*self.poems.batch(self.poems.validation)).item() for _ in range(8)) / 8
        self.model.train()
        torch.set_rng_state(state)
        return loss

    def run(self, checkpoint):
        """Trains to the end; every few steps a look at the validation loss, and a checkpoint."""
        start, first, recent = time.perf_counter(), self.done, []
        while self.done < self.steps:
            recent.append(self.step(*self.poems.batch(self.poems.train)))
            self.done += 1
            if self.done % EVERY == 0 or self.done == self.steps:
                self.losses.append((self.done, torch.stack(recent).mean().item(), self.validate()))
                recent = []
                self.save(checkpoint)
            speed = (self.done - first) * BATCH * CONTEXT / (time.perf_counter() - start)
            show_progress(self.done, self.steps, self.losses, speed)
        return time.perf_counter() - start

    def save(self, path):
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        parts |= {"random": torch.get_rng_state(), "done": self.done, "losses": self.losses}
        replace(path, lambda unfinished: torch.save(parts, unfinished))

    def load(self, path):
        found = torch.load(path)
        for name in PARTS:
            getattr(self, name).load_state_dict(found[name])
        torch.set_rng_state(found["random"])
        self.done, self.losses = found["done"], found["losses"]


def replace(path, write):
    """Has write(another path) make a file, and puts it in the place of the one at `path` when it is whole; whether it is."""
    unfinished = path.with_suffix(".new")
    try:
        path.parent.mkdir(exist_ok=True)
        write(unfinished)
        unfinished.replace(path)
        return True
    except (OSError, RuntimeError) as error:  # the disk is full, or the folder not ours: no reason to stop
        print(f"\n{path} was not written: {error}")
        return False


def show_progress(step, steps, losses, speed):
    """A bar that grows in place; without a terminal, a line now and then."""
    _, train, validation = losses[-1] if losses else (0, math.nan, math.nan)
    words = f"loss {train:.3f}, validation {validation:.3f}, {speed:,.0f} characters/s"
    if sys.stdout.isatty():
        begin = f"step {step:4}/{steps} "
        wide = max(0, min(30, shutil.get_terminal_size().columns - len(begin) - len(words) - 2))
        done = wide * step // steps
        bar = "█" * done + "·" * (wide - done)
        print(f"\r{begin}{bar} {words}", end="\n" if step == steps else "", flush=True)
    elif step % (4 * EVERY) == 0 or step == steps:
        print(f"step {step:4}/{steps}  {words}", flush=True)


# ---------------------------------------------------------------- writing
@torch.no_grad()
def write(model, characters, length=200, temperature=0.8, likeliest=10):
    """Whole lines of a text of so many characters, each drawn among the likeliest to come next.

    When the context is full its later half becomes the beginning of another.
    """
    model.eval()
    step = torch.compile(model.next)
    kept = [tuple(torch.zeros(1, HEADS, CONTEXT, WIDTH // HEADS) for _ in range(2)) for _ in range(LAYERS)]
    text, begin, place = [characters.index("\n")], 0, 0
    while len(text) < length:
        scores = step(torch.tensor([[text[begin + place]]]), torch.tensor([place]), kept)[0, -1]
        place += 1
        if begin + place == len(text):
            best = torch.topk(scores / temperature, likeliest)
            chosen = torch.multinomial(torch.softmax(best.values, dim=-1), 1)
            text.append(best.indices[chosen].item())
        if place == CONTEXT:
            begin, place = begin + CONTEXT // 2, 0
    return "".join(characters[i] for i in text).rpartition("\n")[0].strip()


def curve(losses, width=640, height=320):
    """The losses over the steps as an SVG picture: training grey, validation orange."""
    steps, *both = zip(*losses)
    top, bottom = max(map(max, both)), min(map(min, both))

    def place(step, loss):
        right, down = step / steps[-1], (top - loss) / (top - bottom or 1)
        return f"{40 + (width - 60) * right:.1f},{20 + (height - 60) * down:.1f}"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<title>Losses over {steps[-1]} steps</title><rect width="{width}" height="{height}" fill="white"/>',
    ]
    for row, (name, colour, values) in enumerate(zip(("training", "validation"), ("#777", "#d9822b"), both), 1):
        points = " ".join(map(place, steps, values))
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
        lines.append(f'<text x="{width - 160}" y="{20 + 16 * row}" fill="{colour}">{name} {values[-1]:.3f}</text>')
    lines.append(f'<text x="40" y="{height - 12}">{steps[-1]} steps; loss from {top:.2f} to {bottom:.2f}</text></svg>')
    return "\n".join(lines)


def number_of_steps(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps: 1, 2, …")
    return int(text)


def options():
    found = argparse.ArgumentParser(description="Learn to write verse from the ghazals of Hafez.")
    found.add_argument("--steps", type=number_of_steps, default=STEPS, help=f"how long to train (default {STEPS})")
    found.add_argument("--resume", action="store_true", help="go on from the last checkpoint, with the same --steps")
    found.add_argument(
        "--sample", action="store_true", help="only write a verse, with the model of the last checkpoint"
    )
    return found.parse_args()


def train(training):
    """Trains to the end, and draws how the losses fell."""
    size = sum(p.numel() for p in training.model.parameters())
    poems = training.poems
    print(f"{len(poems.train):,} characters of {len(poems.characters)} kinds to learn from, {size:,} parameters")
    try:
        seconds = training.run(CHECKPOINT)
    except KeyboardInterrupt:
        sys.exit(
            f"\nstopped after step {training.done}; --resume goes on from the last checkpoint, one in {EVERY} steps"
        )
    drawn = replace(PICTURE, lambda unfinished: unfinished.write_text(curve(training.losses), encoding="utf-8"))
    print(f"{seconds:.0f} seconds" + (f"; the losses are drawn in {PICTURE}\n" if drawn else "\n"))


def main():
    chosen = options()
    poems = Poems(HERE / "data" / "hafez.txt")
    training = Training(poems, chosen.steps)
    if chosen.resume or chosen.sample:
        try:
            training.load(CHECKPOINT)
        except FileNotFoundError:
            sys.exit(f"there is no checkpoint in {CHECKPOINT} yet: train first, without --resume and --sample")
        except Exception as error:
            sys.exit(
                f"{CHECKPOINT} is damaged, or not of this model: {type(error).__name__}: {error}\nMove it away, and train anew."
            )
    if chosen.sample:
        torch.seed()
    else:
        train(training)
        torch.manual_seed(7)
    print(write(training.model, poems.characters))


if __name__ == "__main__":
    main()
