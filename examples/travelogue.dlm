---
dlm_id: 01KCX2CVEJVFKF07XSX9M2C6SV
dlm_version: 15
base_model: smollm2-135m
---

# Across the Hallow fen

We left Tamsin Bridge at first light and followed the causeway, which is nothing but alder trunks laid side by side. It
floats. After rain it sinks a hand's breadth under each step and comes up again behind you.

Nobody in the fen owns a clock. The bittern is heard at dawn, the pump at noon, and the toll keeper's bell when the light
goes. Her name is Orla Fennimore; she takes two eels or one story for the crossing.

::prose::
# The toll house

The toll house stands on eleven posts, one for each family that drained this land. Its door faces north, away from the
wind that brings the water. Inside there is a stove, a shelf of logbooks, and a map on which the causeway is drawn in
pencil, because it moves.

::instruction::
### Q
What does the crossing of the Hallow fen cost?
### A
The crossing costs two eels or one story, paid to Orla Fennimore.

### Q
Why is the causeway drawn in pencil?
### A
Because the causeway floats and moves.
