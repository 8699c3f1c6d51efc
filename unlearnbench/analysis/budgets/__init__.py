"""What a number of tried configurations buys: expected best, its interval, crossings, fronts."""
