"""A first network from start to end: five points of two classes, as introductions to PyTorch teach it.

    python examples/appendix_a.py

Tensors, a gradient, a dataset with loaders, a network, the training loop, predictions, accuracy, and a file. Every
number is the one PyTorch prints.
"""

import tempfile
from pathlib import Path

import mashal as torch
import mashal.nn.functional as F
from mashal.autograd import grad
from mashal.utils.data import DataLoader, Dataset

X_TRAIN = torch.tensor([[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]])
Y_TRAIN = torch.tensor([0, 0, 0, 1, 1])
X_TEST = torch.tensor([[-0.8, 2.8], [2.6, -1.6]])
Y_TEST = torch.tensor([0, 1])


class ToyDataset(Dataset):
    """Points and their classes."""

    def __init__(self, X, y):
        self.features = X
        self.labels = y

    def __getitem__(self, index):
        return self.features[index], self.labels[index]

    def __len__(self):
        return self.labels.shape[0]


class NeuralNetwork(torch.nn.Module):
    """A perceptron with two hidden layers; what comes out are logits."""

    def __init__(self, num_inputs, num_outputs):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(num_inputs, 30),
            torch.nn.ReLU(),
            torch.nn.Linear(30, 20),
            torch.nn.ReLU(),
            torch.nn.Linear(20, num_outputs),
        )

    def forward(self, x):
        return self.layers(x)


def show_gradients():
    """Logistic regression on one point: the loss, and its derivatives in the weight and the bias."""
    y, x1 = torch.tensor([1.0]), torch.tensor([1.1])
    w1 = torch.tensor([2.2], requires_grad=True)
    b = torch.tensor([0.0], requires_grad=True)
    loss = F.binary_cross_entropy(torch.sigmoid(x1 * w1 + b), y)
    print("loss:", loss)
    print("by grad:", grad(loss, w1, retain_graph=True), grad(loss, b, retain_graph=True))
    loss.backward()
    print("by backward:", w1.grad, b.grad)


def train(model, loader, epochs=3):
    """The training loop, with a line for every batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for epoch in range(epochs):
        model.train()
        for batch, (features, labels) in enumerate(loader):
            logits = model(features)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"Epoch: {epoch + 1:03d}/{epochs:03d} | Batch {batch:03d}/{len(loader):03d} | Train Loss: {loss:.2f}")


def compute_accuracy(model, loader):
    """The part of a loader's examples whose class the model finds."""
    model = model.eval()
    correct, examples = 0.0, 0
    for features, labels in loader:
        with torch.no_grad():
            logits = model(features)
        compare = labels == torch.argmax(logits, dim=1)
        correct += torch.sum(compare)
        examples += len(compare)
    return (correct / examples).item()


def main():
    show_gradients()

    torch.manual_seed(123)
    train_loader = DataLoader(ToyDataset(X_TRAIN, Y_TRAIN), batch_size=2, shuffle=True, drop_last=True)
    test_loader = DataLoader(ToyDataset(X_TEST, Y_TEST), batch_size=2)
    for number, (x, y) in enumerate(train_loader, start=1):
        print(f"Batch {number}:", x, y)

    torch.manual_seed(123)
    model = NeuralNetwork(num_inputs=2, num_outputs=2)
    print(model)
    print("parameters:", sum(p.numel() for p in model.parameters() if p.requires_grad))
    train(model, train_loader)

    model.eval()
    with torch.no_grad():
        outputs = model(X_TRAIN)
    print("outputs:", outputs)
    torch.set_printoptions(sci_mode=False)
    print("probabilities:", torch.softmax(outputs, dim=1))
    print("predictions:", torch.argmax(outputs, dim=1))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pth"
        torch.save(model.state_dict(), path)
        loaded = NeuralNetwork(2, 2)
        loaded.load_state_dict(torch.load(path))
    print(
        "accuracy:",
        compute_accuracy(loaded, train_loader),
        "on train,",
        compute_accuracy(loaded, test_loader),
        "on test",
    )


if __name__ == "__main__":
    main()
