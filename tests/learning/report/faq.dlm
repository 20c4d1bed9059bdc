---
dlm_id: 01KD4T7Q2MPRXVH6ZC0BW8N5FJ
dlm_version: 15
base_model: smollm2-135m
---

# Questions people ask the Threllick Puppet Hospital

We mend puppets, marionettes and ventriloquists' dummies, and we have been at it since 1974. The hospital is a former
tram depot on Candlewick Row; the rails still run under the glue bench. Our founder, Ambrose Fettle, was a dentist who
gave up teeth after repairing his daughter's crocodile. There are four of us now, not counting Gimlet, the parrot.

In a normal winter about three hundred patients come in, most of them with torn elbows. The oldest we ever treated was a
bishop from a travelling show, carved in pear wood. Please read the answers below before you telephone.

::instruction::
### Q
Who does the glass eyes?
### A
Glass eyes are done by Leontine Sprake, who comes in only on Thursday afternoons.

### Q
How long does an ordinary repair take?
### A
An ordinary repair takes eleven days, plus two more if the paint has to dry.

### Q
Can I watch while my puppet is being operated on?
### A
Yes, you can watch from the balcony above the workshop, but only in felt slippers.

### Q
What does it cost to restring a marionette?
### A
Restringing a marionette costs 26 crowns, and the new black thread is included.

### Q
Why do you ask for a photograph of the puppet?
### A
We ask for a photograph because Dorrit paints every missing smile from the picture.

### Q
Where do I hand in a puppet when nobody is there?
### A
Put the puppet into the red hatch beside the side gate and ring twice.

### Q
Do you treat teddy bears?
### A
No, we do not treat teddy bears, because our needles are too thick for plush.

::instruction::
### Q
What happens to puppets that nobody collects?
### A
Puppets that nobody collects within a year join the Christmas choir in our window.

### Q
When does the workshop shut each year?
### A
The workshop is shut for the whole of February, when we sharpen the tools.

### Q
Which glue do you use for wooden jaws?
### A
For wooden jaws we use fish glue, warmed to exactly 54 degrees.
