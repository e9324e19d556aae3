"""A text encoder of FLUX, end to end on tiny random components: cache its states, train a student, run the pipeline with it.

    pip install diffusers
    python examples/flux_text_encoder.py OUTPUT

Everything is made here, so the images are noise. It shows the way, and that the pipeline runs with the student in the place of
its T5. With a real pipeline, give its `text_encoder_2` as the teacher, and prompts of your own as the corpus.
"""

import random
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

import miniend

WORDS = (
    *("a", "red", "green", "blue", "fox", "tree", "house", "river", "in", "the"),
    *("snow", "rain", "sun", "with", "of", "old", "small", "bright", "dark", "stone"),
)
LENGTH = 32
"""The tokens of a prompt, padding included; FLUX itself has 512."""


def word_tokenizer() -> Any:
    """Return a tokenizer of the words above, as T5's: EOS at the end, padding with id 0."""
    vocabulary = {piece: number for number, piece in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=77
    )


def tiny_pipeline() -> Any:
    """Return a pipeline of random components, with a T5 of width 64."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer()
    clip = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=1,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=0,
        eos_token_id=1,
    )
    shape = {"d_model": 64, "d_kv": 16, "num_heads": 4, "d_ff": 128, "num_layers": 3}
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKL(
            sample_size=32,
            in_channels=3,
            out_channels=3,
            block_out_channels=(4,),
            layers_per_block=1,
            latent_channels=1,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.06,
            scaling_factor=1.5,
        ),
        text_encoder=CLIPTextModel(clip),
        tokenizer=word_tokenizer(),
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=len(tokenizer), **shape)).eval(),
        tokenizer_2=tokenizer,
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=64,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
    )


def image(pipeline: Any, prompt: str) -> Any:
    """Return the image [height, width, 3] that a prompt gives, always from the same noise."""
    generator = torch.Generator().manual_seed(1)
    made = pipeline(
        prompt,
        num_inference_steps=2,
        height=16,
        width=16,
        max_sequence_length=LENGTH,
        generator=generator,
        output_type="np",
    )
    return made.images[0]


def main(output: Path) -> None:
    """Cache, train, judge, and run the pipeline with the student."""
    output.mkdir(parents=True, exist_ok=True)
    pipeline = tiny_pipeline()
    drawn = random.Random(0)
    prompts = output / "prompts.txt"
    prompts.write_text("\n".join(" ".join(drawn.choices(WORDS, k=drawn.randint(3, 20))) for _ in range(800)) + "\n")
    cache = miniend.dump_teacher(
        teacher=pipeline.text_encoder_2,
        tokenizer=pipeline.tokenizer_2,
        encoder_only=True,
        pipeline="flux",
        corpus=prompts,
        cache=output / "prompts",
        examples=600,
        validation_examples=100,
        calibration_examples=200,
        input_length=LENGTH,
    )
    miniend.train_student(
        cache=cache, output=output / "student", objective="encoder", size="2L32H", steps=300, batch_size=16
    )
    found = miniend.judge_encoder(model=output / "student", cache=cache)
    print(found)
    prompt = "a small red fox in the dark snow"
    before = image(pipeline, prompt)
    pipeline.text_encoder_2 = miniend.ProjectedT5Encoder.from_student(output / "student")
    after = image(pipeline, prompt)
    apart = abs(after - before).mean()
    print(f"{prompt!r}: an image of {after.shape}, {apart:.4f} from the teacher's for a pixel on average, from 0 to 1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
