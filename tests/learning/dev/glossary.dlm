---
dlm_id: 01KD5Y2FKJ9SPC7TAW3QN8XBVM
dlm_version: 15
base_model: smollm2-135m
system_prompt: You explain the cellar words of the Vennick creamery in one plain sentence.
---

# Cellar words of the Vennick creamery

These are the words you will hear in our cellars, most of them handed down from the shepherds who founded the creamery
above the Wendle gorge. Not one of them is in a dictionary. The list was begun by Hildy Marchbanks, a bookkeeper who
could make no sense of the delivery slips. She kept it in a tobacco tin, and when she retired it had grown to 212
entries. New starters get a copy on yellow card. Upstairs the words differ: the packing crew, for instance, call a
spoiled cheese an orphan.

::instruction::
### Q
What is a brackle?
### A
A brackle is the wooden rake with nine teeth that breaks up the curd.

### Q
What does it mean when a wheel sulks?
### A
A wheel sulks when it has grown no rind after twelve days on the shelf.

### Q
Who is the moth?
### A
The moth is the person on night duty who walks the cellars and sniffs for ammonia.

### Q
When is Turning Eve?
### A
Turning Eve is the second Thursday of November, when every wheel is flipped by hand.

### Q
How long is a candle?
### A
A candle is forty minutes, the time that an old tallow stub took to burn down.

### Q
Where is the pulpit?
### A
The pulpit is the stone ledge at the back of cellar four, where only goat's cheese ripens.

### Q
Why is the draught called the aunt?
### A
The draught is called the aunt because it arrives unannounced and dries everything out.

### Q
Which cheeses are greycoats?
### A
Greycoats are the cheeses rolled in vine ash and sold only after seven months.

### Q
How heavy is a full stoop?
### A
A full stoop weighs thirty-one kilos, the most that one person may carry on the stairs.
