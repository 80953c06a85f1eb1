import SystemIO

/// What config.json files of published models carry and no family's loss depends on.
extension ConfigurationReader {
  private static let entriesWithoutEffect = names(
    // Where a file comes from and what it was saved as.
    """
    architectures dtype torch_dtype transformers_version _name_or_path name_or_path _model_name_or_path _commit_hash model_name
    unsloth_fixed unsloth_version language license finetuning_task task_specific_params prefix
    """
      // Training.
      + """
       attention_dropout hidden_dropout initializer_range gradient_checkpointing use_bfloat16 embd_pdrop resid_pdrop
      """
        // Sizes of buffers, and generation.
        + """
         max_position_embeddings original_max_position_embeddings use_cache max_length min_length do_sample early_stopping
        num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty
        no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores
        return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values
        exponential_decay_length_penalty suppress_tokens begin_suppress_tokens epsilon_cutoff eta_cutoff
        encoder_repetition_penalty num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold
        assistant_lookbehind target_lookbehind generation_config
        """
        // Tokens.
        + """
         bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id unk_token_id tokenizer_class
        """
        // The form in which transformers hands over results, and how it computes the same numbers.
        + """
         output_hidden_states output_attentions return_dict use_return_dict torchscript tf_legacy_loss tie_last_hidden_states
        chunk_size_feed_forward _attn_implementation attn_implementation _attn_implementation_autoset
        _attn_implementation_internal _experts_implementation_internal _flash_attn_2_enabled use_flash_attn
        """
        // Of heads that are no language model's, and of models with an encoder.
        + """
         id2label label2id num_labels problem_type classifier_dropout is_encoder_decoder is_decoder
        cross_attention_hidden_size tie_encoder_decoder
        """)

  /// Refuses the first entry that nobody asked for and that may have an effect.
  ///
  /// - Parameter others: names of what has none in this family, with white space between them.
  func checkNothingIsLeft(besides others: String) throws(Failure) {
    try checkNothingIsLeft(withoutEffect: Self.entriesWithoutEffect.union(Self.names(others)))
  }

  private static func names(_ text: String) -> Set<String> {
    Set(text.split { $0 == " " || $0 == "\n" }.map(String.init))
  }
}
