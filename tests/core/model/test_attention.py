"""Attention uses the kernels that do not prepare a plan for each length of a sequence."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from rleseg_core.model.layers import CrossAttention, SelfAttention, attend


@pytest.mark.parametrize(("on_gpu", "may_use_cudnn"), [(True, False), (False, True)])
def test_only_on_a_gpu_is_cudnn_left_out(monkeypatch, on_gpu, may_use_cudnn):
    seen = []

    def kernel(*_tensors, **_named):
        seen.append(torch.backends.cuda.cudnn_sdp_enabled())
        return torch.zeros(())

    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        tensor = SimpleNamespace(is_cuda=on_gpu)
        attend(tensor, tensor, tensor)
        assert seen == [may_use_cudnn]
        assert torch.backends.cuda.cudnn_sdp_enabled()  # as it was
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_an_error_leaves_the_setting_as_it_was(monkeypatch):
    def kernel(*_tensors, **_named):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    tensor = SimpleNamespace(is_cuda=True)
    with pytest.raises(torch.OutOfMemoryError):
        attend(tensor, tensor, tensor)
    assert torch.backends.cuda.cudnn_sdp_enabled() == before


def test_layers_attend_as_torch_does():
    torch.manual_seed(0)
    own, cross, x = SelfAttention(16, 2, causal=True), CrossAttention(16, 2), torch.randn(2, 5, 16)
    q, k, v = own.project(x)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.equal(own(x), own.out(expected.transpose(1, 2).flatten(2)))
    keys, values = cross.context(x[:, :3])
    q = cross.query(x).view(2, 5, 2, 8).transpose(1, 2)
    expected = F.scaled_dot_product_attention(q, keys, values)
    assert torch.equal(cross(x, keys, values), cross.out(expected.transpose(1, 2).flatten(2)))
