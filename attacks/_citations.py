"""Papers that several attacks are from."""

LUCKI = """@article{lucki2025adversarial,
  title = {An Adversarial Perspective on Machine Unlearning for {AI} Safety},
  author = {{\\L}ucki, Jakub and Wei, Boyi and Huang, Yangsibo and Henderson, Peter and
            Tram{\\`e}r, Florian and Rando, Javier},
  journal = {Transactions on Machine Learning Research},
  year = {2025}
}"""
