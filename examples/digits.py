"""Learn to read handwritten digits: data, model, training, evaluation, file. This is `make demo`.

    python examples/digits.py

1,797 images of 8x8 grey values (`examples/data/README.md` names their source) are split 80 to 20. A small network
learns from the larger part, is held against the other, goes through a file into a fresh network, and that one reads
some digits it has never seen.
"""

import csv
import gzip
import sys
import time
from pathlib import Path

import mashal as torch
from mashal.nn import functional as F
from mashal.utils.data import DataLoader, Dataset, random_split

HERE = Path(__file__).parent
MODEL_FILE = HERE.parent / "build" / "digits.pth"
EPOCHS = 30


class Digits(Dataset):
    """The images of a file as (64 numbers from 0 to 1, digit)."""

    def __init__(self, path):
        with gzip.open(path, "rt") as lines:
            rows = [[int(cell) for cell in row] for row in csv.reader(lines)]
        self.images = torch.tensor([row[:-1] for row in rows], dtype=torch.float32) / 16
        self.labels = torch.tensor([row[-1] for row in rows])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class Reader(torch.nn.Module):
    """Two hidden layers; what comes out are the scores of the ten digits."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 10),
        )

    def forward(self, images):
        return self.layers(images)


def show_progress(epoch, batch, batches, loss):
    """A bar that grows in place; without a terminal, a line for every tenth epoch."""
    if sys.stdout.isatty():
        done = 30 * batch // batches
        print(f"\repoch {epoch:2}/{EPOCHS} {'█' * done}{'·' * (30 - done)} loss {loss:.4f}", end="", flush=True)
        if epoch == EPOCHS and batch == batches:
            print()
    elif batch == batches and epoch % 10 == 0:
        print(f"epoch {epoch:2}/{EPOCHS}  loss {loss:.4f}")


def train(model, loader):
    """The usual loop: forward, loss, gradients, update."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(1, EPOCHS + 1):
        model.train()
        for batch, (images, labels) in enumerate(loader, start=1):
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            show_progress(epoch, batch, len(loader), loss)


def compute_accuracy(model, loader):
    """The part of a loader's examples whose label the model finds."""
    model.eval()
    correct, examples = 0.0, 0
    for images, labels in loader:
        with torch.no_grad():
            logits = model(images)
        predictions = torch.argmax(logits, dim=1)
        correct += torch.sum(labels == predictions)
        examples += len(labels)
    return (correct / examples).item()


def pictures(images, captions):
    """Images side by side as text, their captions under them."""
    grey = " ░▒▓█"
    rows = []
    for y in range(8):
        lines = [[grey[round(v * 4)] * 2 for v in image[8 * y : 8 * y + 8].tolist()] for image in images]
        rows.append("  ".join("".join(line) for line in lines))
    return "\n".join([*rows, "  ".join(f"{caption:^16}" for caption in captions)])


def main():
    start = time.perf_counter()
    torch.manual_seed(123)
    digits = Digits(HERE / "data" / "digits.csv.gz")
    train_set, test_set = random_split(digits, [0.8, 0.2])
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True, drop_last=True)
    test_loader = DataLoader(test_set, batch_size=64)
    print(f"{len(train_set)} digits to learn from, {len(test_set)} to be tested on")

    model = Reader()
    print(model)
    train(model, train_loader)
    print(f"accuracy: {compute_accuracy(model, train_loader):.1%} on what it learnt from", end=", ")
    print(f"{compute_accuracy(model, test_loader):.1%} on what it has never seen")

    MODEL_FILE.parent.mkdir(exist_ok=True)
    torch.save(model.state_dict(), MODEL_FILE)
    fresh = Reader()
    fresh.load_state_dict(torch.load(MODEL_FILE))
    fresh.eval()
    print(f"saved to {MODEL_FILE.relative_to(HERE.parent)}, loaded into a fresh network, which reads:\n")

    images, labels = next(iter(test_loader))
    with torch.no_grad():
        sure, read = torch.softmax(fresh(images[:5]), dim=1).max(dim=1)
    captions = [f"{r} ({s:.0%}), is {i}" for r, s, i in zip(read.tolist(), sure.tolist(), labels.tolist())]
    print(pictures(images[:5], captions))
    print(f"\n{time.perf_counter() - start:.1f} seconds in all")


if __name__ == "__main__":
    main()
