"""Our rounding in GPTQModel: a subclass of its GPTQ.

Written for GPTQModel 7 and run with 7.6; put it in place before a model is quantized:

    import gptqmodel.looper.gptq_processor as processor
    processor.GPTQ = Feedback

For linear layers, in the natural order of columns: desc_act and act_group_aware are False.
"""

import time

import torch
from gptqmodel.quantization.gptq import GPTQ
from grouped_scales import in_groups

from quincunx.solvers.rounding import Grid, proxy_loss


class Feedback(GPTQ):
    """GPTQ whose weights are rounded by ours; calibration and scales are its own."""

    def quantize(self, blocksize=128):
        """Return what GPTQ.quantize does; scales are fitted to a group once it has its feedback."""
        began, config = time.time(), self.qcfg
        whole = config.group_size == -1
        if config.desc_act or config.act_group_aware or (whole and config.sym):
            raise ValueError("use desc_act=False, act_group_aware=False, and groups or sym=False")
        self.finalize_hessian()
        W, H = self.clone_module(device=self.H.device), self.H
        width, scales, zeros = W.shape[1] if whole else config.group_size, [], []

        def grid_of(group, target):
            self.quantizer.find_params(target, weight=True)
            scales.insert(0, self.quantizer.scale)
            zeros.insert(0, self.quantizer.zero)
            return Grid(config.bits, scale=scales[0], levels="uniform", zero=zeros[0])

        values, _ = in_groups(W, H, width, grid_of, damping=config.damp_percent)
        Q = values.reshape(self.module.weight.shape).to(self.module.weight)
        group_of = torch.arange(W.shape[1], dtype=torch.int32, device=Q.device) // width
        loss = proxy_loss(values - W, H) / 2 / self.nsamples  # in GPTQModel's units
        scale, zero = torch.cat(scales, dim=1), torch.cat(zeros, dim=1)
        seconds, damping = time.time() - began, config.damp_percent
        return Q, scale, zero, group_of, seconds, loss, damping, self.nsamples
