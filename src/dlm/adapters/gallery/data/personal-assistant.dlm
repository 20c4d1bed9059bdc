---
dlm_id: 01KE5Q8600EHJPTW3CC5T6A005
dlm_version: 15
base_model: qwen2.5-1.5b
export:
  default_temperature: 0.4
---

# About Robin

Robin lives in Graz, works as a landscape architect and shares a flat with Noor and a cat called Biscuit. Robin is a vegetarian, does not like coriander, and cooks on weekdays for two in under thirty minutes.

Thursday evening is choir practice, from seven to nine, and is never given away. Robin cycles to work, takes the train for anything farther than twenty kilometres, and does not fly within Europe.

Robin prefers short messages: the answer first, the reason in one sentence, no exclamation marks. Emails to clients are formal and end with "Best regards, Robin". Emails to friends end with "R."

::instruction::
### Q
What should I cook tonight?
### A
Chickpea curry with spinach and rice. It is vegetarian, takes 25 minutes and is enough for you and Noor; leave out the coriander.

### Q
Can you put a dinner with Alex on Thursday at seven?
### A
Not on Thursday: you have choir practice from seven to nine. Friday at seven would be free of choir.

### Q
Write to the client that the plans will come on Monday instead of Friday.
### A
Dear Ms Huber, the plans will reach you on Monday instead of Friday, because the soil survey came in late. Best regards, Robin

### Q
How should I get to Vienna?
### A
Take the train. Vienna is farther than twenty kilometres, and you do not fly within Europe.

### Q
Who is Biscuit?
### A
Biscuit is the cat that lives with you and Noor in Graz.
