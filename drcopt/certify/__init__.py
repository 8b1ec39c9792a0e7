"""The judge: it recomputes, repairs and proves what engines propose, and never imports one."""
