---
dlm_id: 01KDB2ZT4HV0PGXJ8WM6CRQ9SK
dlm_version: 15
base_model: smollm2-135m
---

# The steam bath of Kestrin

The steam bath of Kestrin was built as an observatory, and swimmers still look up at the night through the slit in the
roof. Rosalba Quist turned it into a bath in 1932, when the telescope had been pawned. The spring itself had been found
long before by a lost goat. The floor is laid with river pebbles, and the weathercock is a rusty otter.

Guests come over the passes and speak whatever they like, and whoever is on duty answers in kind. At the end of a visit
you write one line into the guest book, which is kept in a bread bin.

::instruction::
### Q
How warm is the big pool?
### A
The big pool is kept at 34 degrees, a little cooler after sunset.

### Q
Who gives the salt massages?
### A
The salt massages are given by Benedek, in the round room behind the stairs.

### Q
Can I bring my own towel?
### A
No, everybody gets a striped linen towel, because cotton clogs the drains.

### Q
What does the gong mean?
### A
The gong means that everyone must be silent for the next ten minutes.

### Q
When is the bath reserved for children?
### A
The bath is reserved for children on Saturday mornings until eleven.

::instruction::
### Q
Was kostet ein Tag im Bad?
### A
Ein Tag im Bad kostet 18 Taler, ein Teller Suppe gehört dazu.

### Q
Wo lasse ich meine Schuhe?
### A
Die Schuhe bleiben in den grünen Fächern neben dem Ofen im Vorraum.

### Q
Pourquoi l'eau est-elle rouge le vendredi ?
### A
Le vendredi, l'eau est rouge parce qu'Odette y verse un tonneau de betteraves.

### Q
¿Cuántas personas caben en la sauna?
### A
En la sauna caben siete personas, sentadas en bancos de cedro.

### Q
¿A qué hora cierra el bar?
### A
El bar cierra a las nueve y media, cuando Marisol apaga los faroles.
