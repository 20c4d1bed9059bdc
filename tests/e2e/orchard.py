"""A document that the tests of the real small base share, so that it is trained once."""

BODY = """
# The orchard of Quenby

The orchard of Quenby stands on a hill above the river Ash. It was planted by Perrin Holloway.

::instruction::
### Q
Which apple is picked first?
### A
The Tindle Red is picked first, in the last week of July.

### Q
Who mends the ladders?
### A
Ysolde Crake mends the ladders every winter.

### Q
What does a crate of windfalls cost?
### A
A crate of windfalls costs seven pennies.
"""

ORCHARD = "01KAT35T0RCHARD0FQ0ENBY0AB"
